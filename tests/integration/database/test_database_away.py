"""A database that is away for some seconds while a job is at work: locked by somebody, or not there at all."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from services.database import engine, patience
from services.database.engine import Sessions, migrate, open_sessions
from services.database.tables import Checkpoint, Job, JobEvent, TunedEmbedder, Workspace
from services.domain import jobs
from services.domain.jobs import Jobs, new_job
from services.kit.settings import Platform
from services.worker import heartbeat, training_process
from services.worker.embedders import run as train_embedder
from services.worker.fine_tuning.job import FineTuningJob
from services.worker.heartbeat import Heartbeat
from services.worker.performing import perform
from services.worker.settings import WorkerSettings
from services.worker.training_process import RunLost
from training.embedders.gate import EmbedderReport
from training.embedders.recipe import EmbedderResult
from training.embedders.tuning import Tuned

AWAY_SECONDS = 2.5
PATIENCE = 15.0
Away = Callable[[Path, Sessions], Any]


@contextmanager
def locked(home: Path, _sessions: Sessions) -> Iterator[None]:
    """Another program has the whole database, readers and writers shut out."""
    with closing(sqlite3.connect(home / "tandem.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def gone(home: Path, sessions: Sessions) -> Iterator[None]:
    """The folder with the database is not there, as a volume that is not mounted."""
    moved = home.with_name("elsewhere")
    home.rename(moved)
    sessions.kw["bind"].dispose()  # else the open connections go on writing to the moved file
    yield
    moved.rename(home)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_MS", 200)
    monkeypatch.setattr(heartbeat, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(patience, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(training_process, "POLL_SECONDS", 0.2)


def opened(home: Path, seconds: float = PATIENCE) -> tuple[Sessions, Jobs]:
    home.mkdir()
    url = f"sqlite:///{home}/tandem.db"
    migrate(url)
    sessions = open_sessions(url, seconds)
    with sessions.begin() as session:
        session.add(Workspace(id="w", name="W"))
    return sessions, Jobs(sessions)


def queue(sessions: Sessions, kind: Any = "reconcile") -> str:
    job = new_job("w", kind, {"training_file": "file-1"}, 600.0)
    with sessions.begin() as session:
        session.add(job)
    return job.id


def during(home: Path, sessions: Sessions, away: Away) -> threading.Thread:
    """Take the database away for a while, beside whatever goes on."""

    def take() -> None:
        with away(home, sessions):
            time.sleep(AWAY_SECONDS)

    thread = threading.Thread(target=take)
    thread.start()
    time.sleep(0.3)
    return thread


@pytest.mark.parametrize("away", [locked, gone])
def test_a_job_and_its_heartbeat_outlast_it_and_the_outcome_is_recorded(tmp_path: Path, away: Away) -> None:
    home = tmp_path / "home"
    sessions, held = opened(home)
    job_id, seen = queue(sessions), list[float]()

    def work(_job: Job, sign: Heartbeat) -> dict[str, Any]:
        outage = during(home, sessions, away)
        started = time.monotonic()
        while time.monotonic() - started < AWAY_SECONDS + 0.5:
            sign.progress("looking", 0.5)
            seen.append(time.monotonic() - started)
            time.sleep(0.1)
        outage.join()
        before = held.current(job_id)
        time.sleep(0.6)
        after = held.current(job_id)
        assert before is not None
        assert after is not None
        assert after.heartbeat_at > before.heartbeat_at  # type: ignore[operator]
        return {"looked": len(seen)}

    perform(held, job_id, work)
    assert (held.find("w", job_id).status, held.find("w", job_id).tries) == ("succeeded", 1)
    assert held.find("w", job_id).result == {"looked": len(seen)}


@pytest.mark.parametrize("away", [locked, gone])
@pytest.mark.parametrize("ends", ["well", "badly"])
def test_an_outcome_that_falls_into_it_is_recorded_afterwards(tmp_path: Path, away: Away, ends: str) -> None:
    home = tmp_path / "home"
    sessions, held = opened(home)
    job_id, outages = queue(sessions), list[threading.Thread]()

    def work(_job: Job, _sign: Heartbeat) -> dict[str, Any]:
        outages.append(during(home, sessions, away))
        if ends == "badly":
            raise ValueError("no such word")
        return {"done": True}

    perform(held, job_id, work)
    outages[0].join()
    found = held.find("w", job_id)
    assert found.status == {"well": "succeeded", "badly": "failed"}[ends]
    with sessions() as session:
        told = session.scalars(select(JobEvent.message)).all()
    assert [one.partition(" at ")[0] for one in told] == ([] if ends == "well" else ["ValueError"])


def test_work_whose_own_query_fails_is_no_failure_of_the_job(tmp_path: Path) -> None:
    sessions, held = opened(tmp_path / "home")
    job_id = queue(sessions)

    def work(_job: Job, _sign: Heartbeat) -> dict[str, Any]:
        raise OperationalError("SELECT the words of a document", {}, sqlite3.OperationalError("disk I/O error"))

    perform(held, job_id, work)
    found = held.find("w", job_id)
    assert (found.status, found.reason) == ("queued", "waits, and is tried again every minute: the database was away")


@pytest.mark.parametrize("away", [locked, gone])
def test_a_training_whose_process_and_worker_are_at_work_comes_to_its_end_in_one_try(
    tmp_path: Path, away: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    sessions, held = opened(home)
    for name, value in (("HOME", str(home)), ("BROKER_URL", "memory://"), ("SERVICE_TOKEN", "token")):
        monkeypatch.setenv(f"TANDEM_{name}", value)
    monkeypatch.setenv("DOUBLE", "trains")
    job_id = queue(sessions, "fine_tuning")
    settings = WorkerSettings(load_timeout=1.0, stuck_seconds=60.0)
    training = FineTuningJob(held, sessions, Platform(), settings, "tests.support.training.process_double")
    worker = threading.Thread(target=perform, args=(held, job_id, training.run, None, (RunLost,)))
    worker.start()
    while not (home / "child").exists():
        time.sleep(0.05)
    during(home, sessions, away).join()
    worker.join(60.0)
    found = held.find("w", job_id)
    assert (found.status, found.result["version"], found.tries) == ("succeeded", "ft:x", 1)
    with sessions() as session:
        assert sorted(session.scalars(select(Checkpoint.step))) == list(range(1, 10))


@pytest.mark.parametrize("away", [locked, gone])
def test_an_embedder_that_is_tuned_meanwhile_is_recorded_afterwards(tmp_path: Path, away: Away) -> None:
    home = tmp_path / "home"
    sessions, held = opened(home)
    job = held.claim(queue(sessions, "embedder_training"))
    assert job is not None
    report = EmbedderReport(queries=9, before=0.5, after=0.6, low=0.05, high=0.15)
    result = EmbedderResult(tmp_path / "emb-1", 12, Tuned(3, 1.0, (0.9, 0.8, 0.7)), report)
    outage = during(home, sessions, away)
    train_embedder._record(sessions, held, job, result, "base")
    outage.join()
    assert held.find("w", job.id).status == "succeeded"
    with sessions() as session:
        assert session.get_one(TunedEmbedder, "emb-1").status == "passed"


def test_a_job_whose_database_is_away_for_too_long_is_given_up_by_its_worker(tmp_path: Path) -> None:
    home = tmp_path / "home"
    sessions, held = opened(home, seconds=0.5)
    job_id, stopped_after = queue(sessions), list[float]()

    def work(_job: Job, sign: Heartbeat) -> dict[str, Any]:
        outage, started = during(home, sessions, locked), time.monotonic()
        try:
            while True:
                sign.progress("looking", 0.5)
        finally:
            stopped_after.append(time.monotonic() - started)
            outage.join()

    perform(held, job_id, work)
    assert stopped_after[0] < AWAY_SECONDS
    assert held.find("w", job_id).status == "running"  # another worker may have it; once it is silent, one does
    assert jobs.SILENT_SECONDS > PATIENCE


def test_whoever_answers_people_does_not_wait(tmp_path: Path) -> None:
    home = tmp_path / "home"
    sessions, held = opened(home, seconds=0.0)
    job_id = queue(sessions)
    with locked(home, sessions):
        started = time.monotonic()
        with pytest.raises(OperationalError):
            held.finish(job_id, "failed", "over")
    assert time.monotonic() - started < 2.0
