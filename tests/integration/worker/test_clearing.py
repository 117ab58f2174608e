"""What is cleared away of versions, on many platforms made at random: never what must stay."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.database.engine import Sessions, open_sessions
from services.database.tables import Base, Canary, LivePointer, Publication, Version, Workspace, now
from services.domain.jobs import new_job
from services.worker.versions.clearing import Clearing

START = datetime(2026, 6, 1, tzinfo=UTC)
DAY = 24 * 3600.0
MADE: dict[str, Any] = {"base_model": "b", "dataset_hash": "", "template_fingerprint": "", "settings": {}}
WORKSPACES = ("w0", "w1")


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    opened = open_sessions(f"sqlite:///{tmp_path}/tandem.db")
    with opened.begin() as session:
        Base.metadata.create_all(session.connection())
        session.add_all([Workspace(id=name, name=name) for name in WORKSPACES])
    return opened


@dataclass
class Platform:
    """A home's versions, with what the test itself knows must stay."""

    sessions: Sessions
    folder: Path
    must_stay: set[str] = field(default_factory=set)
    names: dict[str, list[str]] = field(default_factory=dict)

    def add(self, workspace: str, name: str, number: int, **columns: Any) -> None:
        """The `number` says how new it is."""
        values = {**MADE, "status": "refused", "metrics": {"candidate": {"facts": number}}, **columns}
        made_at = START + timedelta(hours=number)
        with self.sessions.begin() as session:
            session.add(
                Version(id=name, name=f"ft:{name}", workspace_id=workspace, path=f"{workspace}/{name}",
                        created_at=made_at, **values)
            )  # fmt: skip
        self.write(workspace, name)
        self.names.setdefault(workspace, []).append(name)

    def write(self, workspace: str, name: str, age: float = 0.0) -> Path:
        folder = self.folder / workspace / name
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_text("weights")
        (folder / "model.safetensors").chmod(0o444)
        os.utime(folder, (time.time() - age, time.time() - age))
        return folder

    def there(self, workspace: str) -> set[str]:
        return {path.name for path in (self.folder / workspace).iterdir()}

    def clear(self, keep: int) -> list[str]:
        return Clearing(self.sessions, self.folder, keep).clear()

    def status(self, name: str) -> str:
        with self.sessions() as session:
            return session.get_one(Version, name).status


def at_random(sessions: Sessions, folder: Path, draw: random.Random) -> Platform:
    made = Platform(sessions, folder)
    for workspace in WORKSPACES:
        count = draw.randint(0, 12)
        passed = [draw.random() < 0.5 for _ in range(count)]
        for number in range(count):
            pinned, running = draw.random() < 0.1, draw.random() < 0.1
            job = new_job(workspace, "fine_tuning", {}, 60.0)
            job.status = "running" if running else draw.choice(["succeeded", "failed"])
            with sessions.begin() as session:
                session.add(job)
            name = f"{workspace}-{number}"
            status = draw.choice(["refused", "published", "candidate"])
            gate = {"passed": passed[number]}
            made.add(workspace, name, number, pinned=pinned, job_id=job.id, gate=gate, status=status)
            made.must_stay |= {name} if pinned or running else set()
        moves = [draw.randrange(count) for _ in range(draw.randint(0, 6))] if count else []
        publish(made, workspace, moves)
        beside_live = [number for number in moves if number != moves[-1] and passed[number]]
        made.must_stay |= {f"{workspace}-{number}" for number in [*moves[-1:], *beside_live[-1:]]}
        if count and draw.random() < 0.3:
            tried = f"{workspace}-{draw.randrange(count)}"
            made.must_stay.add(tried)
            canary(made, workspace, tried)
    return made


def publish(made: Platform, workspace: str, moves: list[int]) -> None:
    with made.sessions.begin() as session:
        pointer = LivePointer(workspace_id=workspace, version_id=None, previous_version_id=None)
        session.add(pointer)
        for number in moves:
            name = f"{workspace}-{number}"
            session.add(Publication(workspace_id=workspace, event="moved", version_id=name, why="person", reason=""))
            session.flush()
            if pointer.version_id != name:
                pointer.previous_version_id, pointer.version_id = pointer.version_id, name
        made.must_stay |= {pointer.previous_version_id} if pointer.previous_version_id else set()


def canary(made: Platform, workspace: str, name: str, over: bool = False) -> None:
    row = Canary(id=f"canary-{name}", workspace_id=workspace, version_id=name, share=0.1, margin=0.1, min_requests=9)
    row.ended_at = now() if over else None
    with made.sessions.begin() as session:
        session.add(row)


@pytest.mark.parametrize("seed", range(40))
def test_what_must_stay_stays_and_of_the_rest_the_newest(sessions: Sessions, tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    keep = draw.randint(0, 4)
    made = at_random(sessions, tmp_path / "versions", draw)
    removed = made.clear(keep)
    for workspace, names in made.names.items():
        spare = [name for name in names if name not in made.must_stay]
        wanted = set(spare[::-1][:keep]) | (made.must_stay & set(names))
        assert made.there(workspace) == wanted
        gone = set(names) - wanted
        assert {name for name in names if made.status(name) == "removed"} == gone
        assert gone <= {name.removeprefix("ft:") for name in removed}
    with sessions() as session:
        assert all(row.metrics["candidate"] for row in session.query(Version))
    assert made.clear(keep) == []


def test_folders_that_no_row_names_go_after_a_day_and_not_before(sessions: Sessions, tmp_path: Path) -> None:
    made = Platform(sessions, tmp_path / "versions")
    made.add("w0", "named", 1)
    os.utime(tmp_path / "versions" / "w0" / "named", (START.timestamp(), START.timestamp()))
    for name, age in (("fresh", 0.9), ("old", 1.1), (".draft-ver-1", 2.0)):
        made.write("w0", name, age * DAY)
    made.clear(keep=5)
    assert made.there("w0") == {"named", "fresh"}


def test_a_version_that_was_deleted_by_a_person_loses_its_folder(sessions: Sessions, tmp_path: Path) -> None:
    made = Platform(sessions, tmp_path / "versions")
    made.add("w0", "kept", 1)
    made.add("w0", "deleted", 2, status="removed")
    assert made.clear(keep=5) == []
    assert made.there("w0") == {"kept"}


def test_a_canary_that_is_over_protects_nothing(sessions: Sessions, tmp_path: Path) -> None:
    made = Platform(sessions, tmp_path / "versions")
    made.add("w0", "tried", 1)
    canary(made, "w0", "tried", over=True)
    assert made.clear(keep=0) == ["ft:tried"]


@pytest.mark.parametrize("path", ["", "w0", "../elsewhere", "/", "w0/kept/er"])
def test_a_path_that_is_no_version_folder_is_never_removed(sessions: Sessions, tmp_path: Path, path: str) -> None:
    made = Platform(sessions, tmp_path / "versions")
    made.add("w0", "kept", 1)
    for folder in (tmp_path / "elsewhere", tmp_path / "versions" / "w0" / "kept" / "er"):
        folder.mkdir()
    made.add("w0", "odd", 2, status="removed")
    with sessions.begin() as session:
        session.get_one(Version, "odd").path = path
    made.clear(keep=5)
    assert "kept" in made.there("w0")
    assert (tmp_path / "elsewhere").is_dir()
