"""A candidate's row: what it is made from, and its name."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import services
from services.database.engine import Sessions, migrate, open_sessions
from services.database.tables import Job, Version, Workspace
from services.domain.jobs import new_job
from services.worker.fine_tuning.code_version import code_version
from services.worker.fine_tuning.ports import VersionList
from training.judging.verdict import GateCheck, GateReport
from training.weights.candidate import Candidate
from training.weights.registry import read_manifest, weights_fingerprint, write_manifest


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    migrate(f"sqlite:///{tmp_path}/tandem.db")
    opened = open_sessions(f"sqlite:///{tmp_path}/tandem.db")
    with opened.begin() as session:
        session.add(Workspace(id="w1", name="One"))
    return opened


def new_run(sessions: Sessions) -> tuple[Job, VersionList]:
    job = new_job("w1", "fine_tuning", {"suffix": "house", "seed": 23}, 60.0)
    with sessions.begin() as session:
        session.add(job)
    return job, VersionList(sessions, job)


def candidate(folder: Path, version_id: str, last: float = 1.0) -> Candidate:
    """Two small tensors in a closed folder; `last` is their only difference."""
    path = folder / version_id
    path.mkdir()
    save_file({"a": np.ones(3, np.float32), "b": np.array([last], np.float32)}, path / "model.safetensors")
    (path / "config.json").write_text("{}")
    manifest = write_manifest(path, "base", "data-hash")
    run = {"settings": {"lora": {}}, "dataset": {"data_set_id": "data-1"}}
    return Candidate(version_id, path, "base", "data-hash", manifest.template_fingerprint, run)


def version(sessions: Sessions, version_id: str) -> Version:
    with sessions() as session:
        return session.get_one(Version, version_id)


def test_a_candidate_is_entered_with_its_lineage(sessions: Sessions, tmp_path: Path) -> None:
    job, versions = new_run(sessions)
    made = candidate(tmp_path, "ver-1")
    versions.candidate(made)
    row, manifest = version(sessions, "ver-1"), read_manifest(made.path)
    assert (row.name, row.job_id, row.dataset_hash) == ("ft:base:house:1", job.id, "data-hash")
    assert row.lineage["weights"] == {
        "sha256": weights_fingerprint(manifest),
        "tensors": 2,
        "files": {"config.json": manifest.files["config.json"]},
    }
    assert (row.lineage["seed"], row.lineage["data_set_id"]) == (23, "data-1")
    assert row.lineage["code_version"] == code_version()


def test_the_hash_of_the_weights_tells_one_changed_number(tmp_path: Path) -> None:
    first, same, other = (candidate(tmp_path, name, last) for name, last in (("x", 1.0), ("y", 1.0), ("z", 1.001)))
    hashes = [weights_fingerprint(read_manifest(one.path)) for one in (first, same, other)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_number_that_a_later_version_has_is_not_given_again(sessions: Sessions, tmp_path: Path) -> None:
    killed, later, again = new_run(sessions)[1], new_run(sessions)[1], new_run(sessions)[1]
    killed.candidate(candidate(tmp_path, "ver-1"))
    later.candidate(candidate(tmp_path, "ver-2"))
    killed.discard("ver-1")
    again.candidate(candidate(tmp_path, "ver-3"))
    assert (version(sessions, "ver-2").name, version(sessions, "ver-3").name) == ("ft:base:house:2", "ft:base:house:3")


def test_a_verdict_keeps_the_lineage(sessions: Sessions, tmp_path: Path) -> None:
    versions = new_run(sessions)[1]
    versions.candidate(candidate(tmp_path, "ver-1"))
    before = version(sessions, "ver-1").lineage
    versions.judged("ver-1", {"candidate": {}}, GateReport(False, (GateCheck("style", False, "Style fell."),)))
    row = version(sessions, "ver-1")
    assert (row.status, row.lineage, row.pinned) == ("refused", before, False)


def test_the_code_version_names_the_commit_of_a_working_tree(tmp_path: Path) -> None:
    root = Path(services.__path__[0]).parent
    head = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True)
    if head.returncode != 0:
        pytest.skip("this is no git working tree")
    package, _, commit = code_version().partition("+")
    assert package
    assert head.stdout.startswith(commit.removesuffix("-dirty"))
    assert len(commit) >= 12
