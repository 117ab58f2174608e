"""Jobs that wait, go on, and change hands, in a real database."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from retrieval.errors import IndexUnavailable
from services.contracts.jobs import JobKind
from services.database.engine import migrate, open_sessions
from services.database.tables import Job, Workspace, now
from services.domain.jobs import OFFERED_AT_ONCE, Jobs, WrongJobState, new_job
from services.worker.heartbeat import Heartbeat
from services.worker.performing import MOST_TRIES, perform
from services.worker.retrieval_client import RetrievalDown


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    url = f"sqlite:///{tmp_path}/tandem.db"
    migrate(url)
    jobs = Jobs(open_sessions(url))
    with jobs.transaction() as session:
        session.add(Workspace(id="w1", name="One"))
    return jobs


def queue(jobs: Jobs, kind: JobKind = "reindex") -> str:
    job = new_job("w1", kind, {"store_id": "s1"}, 60.0)
    with jobs.transaction() as session:
        session.add(job)
    return job.id


def status(jobs: Jobs, job_id: str) -> str:
    return jobs.find("w1", job_id).status


def test_a_queued_job_waits_at_once_and_is_not_claimed(jobs: Jobs) -> None:
    job = queue(jobs)
    assert jobs.request_pause("w1", job).status == "paused"
    assert jobs.claim(job) is None
    assert job not in [one.id for one in jobs.abandoned()]


def test_a_job_that_was_put_aside_is_offered_with_the_next_tick_however_young_it_is(jobs: Jobs) -> None:
    job, fresh = queue(jobs), queue(jobs)
    assert jobs.claim(job)
    jobs.put_aside(job, "queued", "its process was lost; tried again within a minute")
    offered = [one.id for one in jobs.abandoned()]
    assert job in offered
    assert fresh not in offered  # its message is on the way


def test_a_running_job_waits_when_it_hears_of_it(jobs: Jobs) -> None:
    job = queue(jobs)

    def work(claimed: Job, heartbeat: Heartbeat) -> dict[str, Any]:
        jobs.request_pause("w1", claimed.id)
        heartbeat.check()
        raise AssertionError("it went on")

    perform(jobs, job, work)
    assert status(jobs, job) == "paused"
    assert not jobs.find("w1", job).pause_requested


def test_a_resumed_job_has_its_whole_time_before_it(jobs: Jobs) -> None:
    job = queue(jobs)
    jobs.request_pause("w1", job)
    with jobs.transaction() as session:
        row = session.get_one(Job, job)
        row.created_at = now() - timedelta(hours=3)
    resumed, waits = jobs.resume("w1", job)
    assert (resumed.status, waits) == ("queued", True)
    claimed = jobs.claim(job)
    assert claimed is not None
    assert claimed.deadline_at is not None
    assert claimed.deadline_at > now() + timedelta(seconds=50)


def test_a_job_that_was_to_wait_and_has_not_heard_of_it_goes_on_undisturbed(jobs: Jobs) -> None:
    job = queue(jobs)
    jobs.claim(job)
    jobs.request_pause("w1", job)
    resumed, waits = jobs.resume("w1", job)
    assert (resumed.status, resumed.pause_requested, waits) == ("running", False, False)


@pytest.mark.parametrize("kind", ["index_file", "reconcile", "embedder_training"])
def test_a_kind_that_would_lose_its_work_cannot_be_paused(jobs: Jobs, kind: JobKind) -> None:
    with pytest.raises(WrongJobState, match=kind):
        jobs.request_pause("w1", queue(jobs, kind))


def test_what_is_not_paused_cannot_be_resumed(jobs: Jobs) -> None:
    with pytest.raises(WrongJobState, match="queued, not paused"):
        jobs.resume("w1", queue(jobs))


def test_a_passing_failure_puts_the_job_back_with_the_reason(jobs: Jobs) -> None:
    job = queue(jobs, "index_file")

    def work(_job: Job, _heartbeat: Heartbeat) -> dict[str, Any]:
        raise ConnectionError("the service is away")

    perform(jobs, job, work, passing=(ConnectionError,))
    found = jobs.find("w1", job)
    assert found.status == "queued"
    assert "the service is away" in str(found.reason)
    assert jobs.claim(job) is not None


def test_a_worker_that_was_silent_does_not_end_the_job_of_its_successor(jobs: Jobs) -> None:
    job = queue(jobs)

    def work(claimed: Job, heartbeat: Heartbeat) -> dict[str, Any]:
        with jobs.transaction() as session:
            session.get_one(Job, claimed.id).heartbeat_at = now() - timedelta(hours=1)
        assert jobs.claim(claimed.id) is not None
        heartbeat.check()
        raise AssertionError("it went on")

    perform(jobs, job, work)
    assert status(jobs, job) == "running"


def test_a_job_counts_its_tries_and_counts_anew_when_it_is_resumed(jobs: Jobs) -> None:
    job = queue(jobs, "fine_tuning")
    for number in (1, 2):
        claimed = jobs.claim(job)
        assert claimed is not None
        assert claimed.tries == number
        jobs.put_aside(job, "queued", "lost")
    jobs.request_pause("w1", job)
    assert jobs.resume("w1", job)[0].tries == 0


def test_a_process_stops_for_whatever_ends_its_claim(jobs: Jobs) -> None:
    def claimed() -> Job:
        job = jobs.claim(queue(jobs, "fine_tuning"))
        assert job is not None
        assert not jobs.must_stop(job)
        return job

    cancelled, paused, ended, taken = claimed(), claimed(), claimed(), claimed()
    jobs.request_cancel("w1", cancelled.id)
    jobs.request_pause("w1", paused.id)
    jobs.finish(ended.id, "failed", "past its deadline")
    with jobs.transaction() as session:
        session.get_one(Job, taken.id).heartbeat_at = now() - timedelta(hours=1)
    assert jobs.claim(taken.id) is not None
    assert all(jobs.must_stop(job) for job in (cancelled, paused, ended, taken))


def test_a_heartbeat_is_no_progress(jobs: Jobs) -> None:
    job = jobs.claim(queue(jobs, "fine_tuning"))
    assert job is not None
    jobs.heartbeat(job.id)
    beaten = jobs.find("w1", job.id)
    assert beaten.progress_at == job.progress_at
    jobs.progress(job.id, "step 1", 0.1)
    assert jobs.find("w1", job.id).progress_at > job.progress_at  # type: ignore[operator]


def test_a_job_that_waits_never_passes_its_deadline_and_its_time_counts_from_its_start(jobs: Jobs) -> None:
    waiting = [queue(jobs, "index_file") for _ in range(3)]
    with jobs.transaction() as session:
        for job_id in waiting:
            session.get_one(Job, job_id).created_at = now() - timedelta(days=2)
    assert jobs.overdue() == []
    begun = jobs.claim(waiting[0])
    assert begun is not None
    assert begun.started_at is not None
    assert begun.deadline_at == begun.started_at + timedelta(seconds=60)
    assert jobs.overdue() == []
    with jobs.transaction() as session:
        session.get_one(Job, begun.id).deadline_at = now() - timedelta(seconds=1)
    assert [job.id for job in jobs.overdue()] == [begun.id]


def test_a_job_that_was_put_aside_has_its_whole_time_again_and_one_that_lost_its_worker_keeps_its_end(
    jobs: Jobs,
) -> None:
    job = queue(jobs, "index_file")
    first = jobs.claim(job)
    jobs.put_aside(job, "queued", "the retrieval service does not answer")
    assert jobs.find("w1", job).deadline_at is None
    second = jobs.claim(job)
    with jobs.transaction() as session:
        session.get_one(Job, job).heartbeat_at = now() - timedelta(hours=1)
    third = jobs.claim(job)
    assert first is not None
    assert second is not None
    assert third is not None
    assert first.deadline_at < second.deadline_at == third.deadline_at  # type: ignore[operator]


def test_a_job_waits_as_long_as_the_retrieval_service_is_away_and_ends_where_it_is_refused_each_time(
    jobs: Jobs,
) -> None:
    away, refused, told = queue(jobs, "index_file"), queue(jobs, "index_file"), list[str]()

    def work(job: Job, _heartbeat: Heartbeat) -> dict[str, Any]:
        raise RetrievalDown("it does not answer") if job.id == away else IndexUnavailable("HTTP 500")

    for _ in range(MOST_TRIES + 1):
        for job in (away, refused):
            perform(jobs, job, work, lambda _job, reason, _error: told.append(reason), passing=(IndexUnavailable,))
    waits, ended = jobs.find("w1", away), jobs.find("w1", refused)
    assert (waits.status, waits.tries, ended.status) == ("queued", 0, "failed")
    assert told == [ended.reason] == [f"tried {MOST_TRIES} times, and it was the same each time: HTTP 500"]


def test_thousands_of_files_that_wait_keep_no_sync_and_no_lost_training_from_being_offered(jobs: Jobs) -> None:
    old, long_ago = now() - timedelta(minutes=20), now() - timedelta(hours=1)
    with jobs.transaction() as session:
        for _ in range(OFFERED_AT_ONCE + 100):
            file = new_job("w1", "index_file", {}, 60.0)
            file.created_at = long_ago
            session.add(file)
    sync, training = queue(jobs, "sync_source"), queue(jobs, "fine_tuning")
    jobs.claim(training)
    with jobs.transaction() as session:
        session.get_one(Job, sync).created_at = session.get_one(Job, training).heartbeat_at = old
    kinds = [job.kind for job in jobs.abandoned()]
    assert kinds[0] == "fine_tuning"
    assert (kinds.count("index_file"), kinds.count("sync_source")) == (OFFERED_AT_ONCE, 1)
