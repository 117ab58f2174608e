"""Whatever is asked of a job, its state goes only where services.contracts.jobs says."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import get_args

import pytest

from services.contracts.jobs import ACTIVE, FINISHED, MAY_FOLLOW, WAITING, JobStatus, may_become
from services.database.engine import Sessions, migrate, open_sessions
from services.database.tables import Job, Workspace
from services.domain.jobs import Jobs, WrongJobState, new_job

ORDERS: dict[str, Callable[[Jobs, str], object]] = {
    "claim": lambda jobs, job_id: jobs.claim(job_id),
    "cancel": lambda jobs, job_id: jobs.request_cancel("w1", job_id),
    "pause": lambda jobs, job_id: jobs.request_pause("w1", job_id),
    "resume": lambda jobs, job_id: jobs.resume("w1", job_id),
    "put aside": lambda jobs, job_id: jobs.put_aside(job_id, "queued", "waits"),
    "put back": lambda jobs, job_id: jobs.put_back(job_id, "waits"),
    "paused by its worker": lambda jobs, job_id: jobs.put_aside(job_id, "paused", "paused"),
    "succeed": lambda jobs, job_id: jobs.finish(job_id, "succeeded", None),
    "fail": lambda jobs, job_id: jobs.finish(job_id, "failed", "it broke"),
}
STATES: tuple[JobStatus, ...] = get_args(JobStatus)


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    url = f"sqlite:///{tmp_path / 'tandem.db'}"
    migrate(url)
    sessions = open_sessions(url)
    with sessions.begin() as session:
        session.add(Workspace(id="w1", name="one"))
    return sessions


@pytest.mark.parametrize("before", STATES)
def test_a_job_goes_only_where_the_table_says(sessions: Sessions, before: JobStatus) -> None:
    jobs = Jobs(sessions)
    for name, order in ORDERS.items():
        job = new_job("w1", "reindex", {"store_id": "s1"}, 60.0)
        job.status = before
        with sessions.begin() as session:
            session.add(job)
        with suppress(WrongJobState):
            order(jobs, job.id)
        with sessions() as session:
            after = session.get_one(Job, job.id).status
        assert after == before or after in MAY_FOLLOW[before], name


def test_every_state_is_in_the_table_and_nothing_follows_the_last_ones() -> None:
    assert set(MAY_FOLLOW) == set(STATES)
    assert {state for state in STATES if not MAY_FOLLOW[state]} == FINISHED
    assert ACTIVE | WAITING == set(STATES) - FINISHED == may_become("failed")
