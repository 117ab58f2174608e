"""The tick's part in schedules: finds what is due and queues it once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from services.database.engine import Sessions
from services.database.tables import Job, ScheduleRun, Source, TrainingSchedule
from services.domain.schedules import NeverDue, claim_run, next_due
from services.domain.sources import begin_sync
from services.worker.alone import alone

log = logging.getLogger(__name__)
Scheduled = TypeVar("Scheduled", Source, TrainingSchedule)


@dataclass(frozen=True)
class Begun:
    """The result of a due time: the job for it, and whether the job must be sent to the workers; or why there is no
    job.
    """

    job: Job | None
    send: bool
    outcome: str | None = None


Begin = Callable[[Session], Begun]
"""Does what is due, in the transaction that takes the due time."""


def run_due(
    sessions: Sessions, kind: type[Scheduled], at: datetime, prepare: Callable[[Scheduled], Begin]
) -> list[Job]:
    """Do what is due on schedules of a kind; returns the jobs to send.

    If something was due several times while nothing ran, it is done once. A schedule without a due time, because it is
    new or changed, gets its first. A schedule that fails says so in its `last_error`, and does not stop the others.
    `prepare` runs before the due time is claimed; its work is lost if another beat claims it.
    """
    due = or_(kind.next_due_at.is_(None), kind.next_due_at <= at)
    query = select(kind).where(kind.deleted_at.is_(None), kind.enabled.is_(True), kind.cron.is_not(None), due)
    with sessions() as session:
        found = session.scalars(query).all()
    jobs: list[Job] = []
    for row in found:
        try:
            job = _run(sessions, kind, row, at, prepare)
        except Exception as error:  # of this one: the others are due too
            log.exception("the schedule of %s failed", row.id)
            what = f"{type(error).__name__}; the worker's log says more"
            _note(sessions, kind, row, f"what is due could not be begun, and is tried again every minute: {what}")
        else:
            jobs += [job] if job else []
    return jobs


def _run(
    sessions: Sessions, kind: type[Scheduled], row: Scheduled, at: datetime, prepare: Callable[[Scheduled], Begin]
) -> Job | None:
    """Do what is due on one schedule; returns the job to send."""
    begin = prepare(row) if row.next_due_at else None
    with sessions.begin() as session:
        run = _take(session, kind, row, at)
        begun = begin(session) if run and begin else None
        if run and begun:
            run.job_id, run.outcome = begun.job.id if begun.job else None, begun.outcome
    return begun.job if begun and begun.send else None


def _note(sessions: Sessions, kind: type[Scheduled], row: Scheduled, problem: str) -> None:
    with alone(f"recording what became of the schedule of {row.id}"), sessions.begin() as session:
        session.execute(update(kind).where(kind.id == row.id).values(last_error=problem))


def due_syncs(sessions: Sessions, at: datetime, deadline_seconds: float) -> list[Job]:
    """Queue a sync for each source that is due; returns the jobs to send."""

    def prepare(source: Source) -> Begin:
        return lambda session: Begun(*begin_sync(session, source, deadline_seconds))

    return run_due(sessions, Source, at, prepare)


def _take(session: Session, kind: type[Scheduled], row: Scheduled, at: datetime) -> ScheduleRun | None:
    """Set a schedule's next due time and claim the present one. None if there was none or another beat has it."""
    mine = kind.id == row.id
    try:
        upcoming = next_due(row.cron or "", row.time_zone, at)
    except NeverDue as error:
        session.execute(update(kind).where(mine).values(enabled=False, last_error=str(error)))
        return None
    unchanged = kind.next_due_at.is_(None) if row.next_due_at is None else kind.next_due_at == row.next_due_at
    moved = update(kind).where(mine, unchanged).values(next_due_at=upcoming)
    if session.execute(moved).rowcount == 0 or row.next_due_at is None:  # type: ignore[attr-defined]
        return None
    return claim_run(session, row.workspace_id, row.id, row.next_due_at)
