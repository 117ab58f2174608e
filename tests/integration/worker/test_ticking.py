"""The minute's tick over a real database in which some things are as they ought not to be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select, text

from services.contracts.jobs import JobKind
from services.database.engine import Sessions, migrate, open_sessions
from services.database.tables import Collection, File, Job, Source, Store, StoreFile, TrainingSchedule, Workspace, now
from services.domain.jobs import Jobs, new_job
from services.domain.retraining import ReviewedExamples
from services.kit.http import client
from services.worker.files.expiry import Expiry
from services.worker.indexing.reconciling import Reconciling
from services.worker.reindexing.abandoned import AbandonedBuilds
from services.worker.retrieval_client import RetrievalWriter
from services.worker.schedules.retraining import Retraining
from services.worker.ticking import Ticking
from services.worker.versions.clearing import Clearing

AT = datetime(2026, 6, 1, 3, tzinfo=UTC)


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    url = f"sqlite:///{tmp_path}/tandem.db"
    migrate(url)
    opened = open_sessions(url)
    with opened.begin() as session:
        session.add(Workspace(id="w", name="One"))
        session.flush()
        session.add(Store(id="s", workspace_id="w", name="Docs"))
    return opened


def tick(sessions: Sessions, home: Path) -> list[str]:
    """One tick, without a retrieval service; the kinds of the jobs that it sends."""
    sent: list[str] = []
    files, versions = f"file://{home}/files", home / "versions"
    writer = RetrievalWriter(client(f"unix:{home}/no-service.sock", "", timeout=1.0))
    retraining = Retraining(sessions, versions, ReviewedExamples(sessions, files), "base", 60.0)
    Ticking(
        sessions,
        Jobs(sessions),
        lambda job: sent.append(job.kind),
        home / "runs",
        600.0,
        Reconciling(sessions, writer, files, home / "index", 24.0),
        retraining,
        AbandonedBuilds(sessions, writer, home / "index"),
        Expiry(sessions, writer, 30.0),
        Clearing(sessions, versions, 5),
    ).tick(AT)
    return sent


def add_source(sessions: Sessions, name: str, cron: str) -> None:
    due = None if "\uff13" in cron else AT
    with sessions.begin() as session:
        session.add(Source(id=name, workspace_id="w", store_id="s", name=name, kind="folder", location="/srv",
                           settings={}, cron=cron, next_due_at=due))  # fmt: skip


def add_job(sessions: Sessions, kind: JobKind, request: dict[str, object]) -> str:
    """A job whose deadline is over."""
    job = new_job("w", kind, request, 60.0)
    with sessions.begin() as session:
        session.add(job)
    Jobs(sessions).claim(job.id)
    with sessions.begin() as session:
        session.get_one(Job, job.id).deadline_at = now() - timedelta(seconds=1)
    return job.id


def test_one_bad_schedule_of_either_kind_stops_no_sync_and_no_training(sessions: Sessions, tmp_path: Path) -> None:
    add_source(sessions, "src_bad", "0 \uff13 * * *")
    add_source(sessions, "src_good", "0 3 * * *")
    with sessions.begin() as session:
        session.add(File(id="f", workspace_id="w", filename="f", purpose="fine-tune", bytes=1, sha256="", path="/f"))
        for name, cron in (("bad", "0 \uff13 * * *"), ("good", "0 3 * * *")):
            session.add(TrainingSchedule(id=name, workspace_id="w", name=name, cron=cron, training_file="f", seed=1,
                                         suffix="s", next_due_at=AT))  # fmt: skip
    assert sorted(tick(sessions, tmp_path)) == ["fine_tuning", "sync_source"]
    with sessions() as session:
        for bad in (session.get_one(Source, "src_bad"), session.get_one(TrainingSchedule, "bad")):
            assert (bad.enabled, "cannot be read" in str(bad.last_error)) == (False, True)


def test_one_part_of_the_tick_that_fails_stops_no_other(sessions: Sessions, tmp_path: Path) -> None:
    add_source(sessions, "src_good", "0 3 * * *")
    overdue = add_job(sessions, "reindex", {"store_id": "s"})
    expired = tmp_path / "expired.md"
    expired.write_text("Over.")
    with sessions.begin() as session:
        over = now() - timedelta(seconds=1)
        for name, path in (("f0", "nowhere://f0"), ("f1", str(expired))):
            session.add(File(id=name, workspace_id="w", filename=name, purpose="assistants", bytes=1, sha256="",
                             path=path, expires_at=over))  # fmt: skip
        session.execute(text("PRAGMA foreign_keys=OFF"))
        for table in ("training_schedules", "versions", "turns"):
            session.execute(text(f"ALTER TABLE {table} RENAME TO {table}_away"))
    assert tick(sessions, tmp_path) == ["sync_source"]
    assert Jobs(sessions).find("w", overdue).status == "failed"
    assert not expired.exists()
    with sessions() as session:
        assert session.scalars(select(Job.kind).where(Job.kind == "reconcile")).all() == ["reconcile"]


def test_one_job_that_cannot_be_ended_as_it_should_stops_no_other(sessions: Sessions, tmp_path: Path) -> None:
    odd = add_job(sessions, "index_file", {"store_id": "s"})  # it names no file
    with sessions.begin() as session:
        session.add(File(id="f", workspace_id="w", filename="f", purpose="assistants", bytes=1, sha256="", path="/f"))
        session.flush()
        session.add(StoreFile(store_id="s", file_id="f", workspace_id="w", revision=1, status="in_progress"))
    ended = add_job(sessions, "index_file", {"store_id": "s", "file_id": "f", "revision": 1})
    tick(sessions, tmp_path)
    assert [Jobs(sessions).find("w", one).status for one in (odd, ended)] == ["failed", "failed"]
    with sessions() as session:
        row = session.get_one(StoreFile, ("s", "f"))
    assert (row.status, "passed its deadline" in str(row.error)) == ("failed", True)


def test_a_retrieval_service_that_does_not_answer_is_asked_once_for_all_that_expired(
    sessions: Sessions, tmp_path: Path
) -> None:
    with sessions.begin() as session:
        for name in ("f0", "f1", "f2"):
            path, over = tmp_path / name, now() - timedelta(seconds=1)
            path.write_text("Over.")
            session.add(File(id=name, workspace_id="w", filename=name, purpose="assistants", bytes=1, sha256="",
                             path=str(path), expires_at=over))  # fmt: skip
            session.flush()
            session.add(StoreFile(store_id="s", file_id=name, workspace_id="w", revision=1, status="completed"))
            session.add(Collection(id=f"col_{name}", workspace_id="w", store_id="s", embedder="e", dimension=4,
                                   settings={}, state="building"))  # fmt: skip
    asked = list[str]()

    def silent(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        raise httpx.ReadTimeout("60 s")

    writer = RetrievalWriter(httpx.Client(transport=httpx.MockTransport(silent), base_url="http://tandem"))
    Expiry(sessions, writer).remove_expired()
    AbandonedBuilds(sessions, writer, tmp_path / "index").sweep()
    assert asked == ["/points/delete", "/collections/drop"]
