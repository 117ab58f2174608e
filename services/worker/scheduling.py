"""The tick's part in schedules: find what is due and queue it, once."""

from __future__ import annotations

import logging
from datetime import datetime

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from services.database.engine import Sessions
from services.database.schedules import NeverDue, claim_run, next_due
from services.database.sources import begin_sync
from services.database.tables import Job, Source

log = logging.getLogger(__name__)


def due_syncs(sessions: Sessions, at: datetime, deadline_seconds: float) -> list[Job]:
    """Queue a sync for each source that is due; returns the jobs to send.

    A source that was due several times while nothing ran is synchronised once. A source without a due time, new or
    with another schedule, gets its first.
    """
    due = or_(Source.next_due_at.is_(None), Source.next_due_at <= at)
    query = select(Source).where(Source.deleted_at.is_(None), Source.enabled.is_(True), Source.cron.is_not(None), due)
    jobs: list[Job] = []
    with sessions() as session:
        found = session.scalars(query).all()
    for source in found:
        with sessions.begin() as session:
            job = _advance(session, source, at, deadline_seconds)
        jobs += [job] if job else []
    return jobs


def _advance(session: Session, source: Source, at: datetime, deadline_seconds: float) -> Job | None:
    """Move a source to its next due time and take the one that was. None where another beat has taken it."""
    try:
        upcoming = next_due(source.cron or "", source.time_zone, at)
    except NeverDue as error:
        session.execute(update(Source).where(Source.id == source.id).values(enabled=False, last_error=str(error)))
        return None
    due_at = source.next_due_at
    unchanged = Source.next_due_at.is_(None) if due_at is None else Source.next_due_at == due_at
    moved = update(Source).where(Source.id == source.id, unchanged).values(next_due_at=upcoming)
    if session.execute(moved).rowcount == 0 or due_at is None:  # type: ignore[attr-defined]
        return None
    job, is_new = begin_sync(session, source, deadline_seconds)
    claimed = claim_run(session, source.workspace_id, source.id, due_at, job.id)
    if not claimed and is_new:
        session.delete(job)
    return job if claimed and is_new else None
