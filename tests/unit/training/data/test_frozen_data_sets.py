from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from sqlalchemy import select

from services.database.engine import Sessions, migrate, open_sessions
from services.database.tables import DataSet, File, Job, TextOrigin, Version, Workspace
from services.domain.data_sets import FrozenSets, latest, set_name
from services.domain.jobs import Jobs, new_job
from services.domain.lineage import lineage
from services.worker.data_sets.data_sets import RunDataSets
from services.worker.data_sets.examine import run_claimed
from services.worker.data_sets.sides import PastRuns
from services.worker.fine_tuning.ports import VersionList
from tests.support.training.fakes import example, jsonl
from training.config import ExampleSettings
from training.data.dataset import Dataset, canonical, parse_dataset
from training.data.dataset_report import examine
from training.errors import InvalidDataset, UnknownBaseModel
from training.weights.candidate import Candidate
from training.weights.registry import write_manifest

ANY = ExampleSettings(min_examples=1)


def some(*answers: str) -> Dataset:
    return parse_dataset(jsonl([example(f"Question {n}?", one) for n, one in enumerate(answers)]), ANY)


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    url = f"sqlite:///{tmp_path}/tandem.db"
    migrate(url)
    found = open_sessions(url)
    with found.begin() as session:
        session.add_all(Workspace(id=name, name=name) for name in ("one", "two"))
    return found


@pytest.fixture
def frozen(sessions: Sessions, tmp_path: Path) -> FrozenSets:
    return FrozenSets(sessions, f"file://{tmp_path}/files")


def test_the_same_content_is_the_same_version_and_other_content_the_next(frozen: FrozenSets) -> None:
    first = frozen.freeze("one", some("A", "B"), ["file-1"], "desk")
    again = frozen.freeze("one", some("A", "B"), ["file-2"], "desk")
    second = frozen.freeze("one", some("A", "C"), ["file-3"], "desk")
    other = frozen.freeze("one", some("A", "B"), ["file-1"], "bench")
    assert (first.id, first.version) == (again.id, again.version)
    assert [first.version, second.version, other.version] == [1, 2, 1]
    assert frozen.freeze("two", some("A", "B"), [], "desk").id != first.id


def test_the_content_is_written_once_under_its_hash_and_read_back(frozen: FrozenSets, tmp_path: Path) -> None:
    dataset = some("A", "B")
    row = frozen.freeze("one", dataset, [], "desk")
    path = Path(row.path.removeprefix("file://"))
    written = path.stat().st_mtime_ns
    frozen.freeze("one", dataset, [], "desk")
    assert path.stat().st_mtime_ns == written
    assert path.read_bytes() == canonical(dataset.examples)
    assert [one.name for one in path.parent.iterdir()] == [f"{dataset.sha256}.jsonl"]
    assert frozen.examples(row) == dataset.examples


def test_content_that_changed_or_is_gone_is_an_error_and_not_another_data_set(frozen: FrozenSets) -> None:
    row = frozen.freeze("one", some("A", "B"), [], "desk")
    path = Path(row.path.removeprefix("file://"))
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(InvalidDataset, match="has changed"):
        frozen.read(row)
    path.unlink()
    with pytest.raises(InvalidDataset, match="is gone"):
        frozen.read(row)


def test_a_deleted_data_set_has_no_content_and_comes_back_when_frozen_again(
    frozen: FrozenSets, sessions: Sessions
) -> None:
    row = frozen.freeze("one", some("A", "B"), [], "desk")
    twin = frozen.freeze("one", some("A", "B"), [], "bench")
    frozen.delete(row)
    assert frozen.examples(twin), "the content is shared, and the other data set is still there"
    frozen.delete(twin)
    assert not Path(row.path.removeprefix("file://")).exists()
    with sessions() as session:
        assert list(latest(session, "one")) == []
    assert frozen.freeze("one", some("A", "B"), [], "desk").id == row.id
    assert frozen.examples(row)


def test_evaluation_questions_are_those_of_the_workspace_alone(frozen: FrozenSets) -> None:
    frozen.freeze("one", some("A", "B"), [], "desk")
    frozen.freeze("one", some("C"), [], "exam", use="evaluation")
    frozen.freeze("two", some("D"), [], "exam", use="evaluation")
    ((name, examples),) = frozen.for_evaluation("one").items()
    assert (name, [one.answer for one in examples]) == ("exam, version 1", ["C"])


def test_a_question_that_several_evaluation_data_sets_ask_is_that_of_the_newest(frozen: FrozenSets) -> None:
    frozen.freeze("one", some("A", "B"), [], "exam", use="evaluation")
    frozen.freeze("one", some("C"), [], "exam", use="evaluation")
    found = frozen.for_evaluation("one")
    assert {name: [one.answer for one in examples] for name, examples in found.items()} == {
        "exam, version 2": ["C"],
        "exam, version 1": ["B"],
    }


def test_a_run_keeps_its_data_set_under_the_name_that_the_workspace_knows_it_by(
    frozen: FrozenSets, sessions: Sessions
) -> None:
    file = File(id="file-9", workspace_id="one", filename="my examples.jsonl", purpose="", bytes=1, sha256="", path="")
    known = frozen.freeze("one", some("A", "B"), ["file-1"], "desk")
    in_run = RunDataSets(frozen, "one", file, PastRuns(sessions, frozen, "one", None))
    assert in_run.keep(some("A", "B"), examine(some("A", "B"), ANY).report) == known.id
    new = in_run.keep(some("A", "Z"), examine(some("A", "Z"), ANY).report)
    with sessions() as session:
        row = session.get_one(DataSet, new)
        assert (row.name, row.version, row.report["examples"]) == ("my examples", 1, 2)
        held = session.scalars(select(TextOrigin.origin_id).where(TextOrigin.holder_id == known.id)).all()
        in_run.keep_rows(new, {"left_out_lines": [2]})
    with sessions() as session:
        report = session.get_one(DataSet, new).report
        assert (report["examples"], report["rows"]) == (2, {"left_out_lines": [2]})
    assert sorted(held) == ["file-1", "file-9"]
    assert set_name(".jsonl") == ".jsonl"


def candidate(folder: Path, data_set_id: str) -> Candidate:
    path = folder / "ver-1"
    path.mkdir()
    save_file({"a": np.ones(3, np.float32)}, path / "model.safetensors")
    write_manifest(path, "base", "sha")
    run = {"dataset": {"data_set_id": data_set_id}, "passage_files": ["file-doc"]}
    return Candidate("ver-1", path, "base", "sha", "print", run)


def test_lineage_leads_from_a_file_an_answer_and_a_document_to_data_sets_and_versions(
    frozen: FrozenSets, sessions: Sessions, tmp_path: Path
) -> None:
    dataset = parse_dataset(jsonl([example("Q?", "A", answer_id="chat-7"), example("P?", "B")]), ANY)
    row = frozen.freeze("one", dataset, ["file-1"], "desk")
    job = new_job("one", "fine_tuning", {"suffix": "s", "seed": 1}, 60.0)
    with sessions.begin() as session:
        session.add(job)
    VersionList(sessions, job).candidate(candidate(tmp_path, row.id))
    with sessions() as session:
        found = {origin: lineage(session, "one", origin) for origin in ("file-1", "chat-7", "file-doc", "file-none")}
        assert lineage(session, "two", "file-1").versions == ()
    names = {
        origin: ([one.thing.id for one in holders.data_sets], [(one.thing.id, one.how) for one in holders.versions])
        for origin, holders in found.items()
    }
    assert names == {
        "file-1": ([row.id], [("ver-1", ("examples",))]),
        "chat-7": ([row.id], [("ver-1", ("examples",))]),
        "file-doc": ([], [("ver-1", ("passages",))]),
        "file-none": ([], []),
    }
    assert found["file-1"].live_id is None


def test_a_discarded_candidate_holds_no_text(frozen: FrozenSets, sessions: Sessions, tmp_path: Path) -> None:
    row = frozen.freeze("one", some("A", "B"), ["file-1"], "desk")
    job = new_job("one", "fine_tuning", {"suffix": "s", "seed": 1}, 60.0)
    with sessions.begin() as session:
        session.add(job)
    versions = VersionList(sessions, job)
    made = candidate(tmp_path, row.id)
    versions.candidate(made)
    versions.discard("ver-1")
    with sessions() as session:
        assert session.scalars(select(TextOrigin).where(TextOrigin.holder_id == "ver-1")).all() == []
    versions.candidate(made)
    versions.published("ver-1")
    versions.discard("ver-1")
    with sessions() as session:
        assert session.get(Version, "ver-1") is not None
        assert lineage(session, "one", "file-1").versions


@pytest.fixture
def examining(frozen: FrozenSets, sessions: Sessions, tmp_path: Path) -> tuple[str, str]:
    """A data set of an uploaded file with an empty first line, and the claimed job that examines it."""
    path = tmp_path / "examples.jsonl"
    path.write_bytes(b"\n" + jsonl([example("Q?", "Ask jane@example.com."), example("P?", "B")]))
    row = frozen.freeze("one", parse_dataset(path.read_bytes(), ANY), ["file-1"], "desk")
    job = new_job("one", "examine_data_set", {"data_set_id": row.id, "file_id": "file-1"}, 60.0)
    with sessions.begin() as session:
        session.add(job)
        session.add(File(id="file-1", workspace_id="one", filename="e", purpose="", bytes=1, sha256="", path=str(path)))
    assert Jobs(sessions).claim(job.id)
    return row.id, job.id


def no_counter() -> Callable[[object], list[int]]:
    return lambda ones: [5 for _ in ones]  # type: ignore[attr-defined]


def test_the_job_reports_with_the_lines_of_the_uploaded_file(
    frozen: FrozenSets, sessions: Sessions, examining: tuple[str, str]
) -> None:
    data_set_id, job_id = examining
    run_claimed(job_id, sessions, frozen, no_counter)
    with sessions() as session:
        report, job = session.get_one(DataSet, data_set_id).report, session.get_one(Job, job_id)
    assert report["findings"] == [{"line": 2, "kind": "email", "masked": "j***@***.com"}]
    assert report["lengths"]["tokens"] == {"p50": 5, "p95": 5, "max": 5}
    assert job.status == "succeeded"
    assert job.reason is not None
    assert "Personal data or secrets: 1 email" in job.reason


def test_without_a_base_model_the_job_fails_in_words_and_there_is_no_report(
    frozen: FrozenSets, sessions: Sessions, examining: tuple[str, str]
) -> None:
    def absent() -> Callable[[object], list[int]]:
        raise UnknownBaseModel("No base model 'absent'.")

    data_set_id, job_id = examining
    run_claimed(job_id, sessions, frozen, absent)
    with sessions() as session:
        assert session.get_one(DataSet, data_set_id).report == {}
        assert session.get_one(Job, job_id).reason == "No base model 'absent'."
