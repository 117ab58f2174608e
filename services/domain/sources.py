"""What gateway and workers share about a registered source."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.contracts.jobs import JobKind
from services.database.tables import Job, Source
from services.domain.jobs import new_job

SYNC: JobKind = "sync_source"


def begin_sync(session: Session, source: Source, deadline_seconds: float, **options: bool) -> tuple[Job, bool]:
    """A job that synchronises a source, and whether it is new: a waiting job with the same options is used again.

    Options: `full` reads every document anew, `confirm` allows any number of removals.
    """
    request: dict[str, Any] = {"source_id": source.id, **options}
    waiting = select(Job).where(Job.workspace_id == source.workspace_id, Job.kind == SYNC, Job.status == "queued")
    for job in session.scalars(waiting):
        if job.request == request:
            return job, False
    job = new_job(source.workspace_id, SYNC, request, deadline_seconds)
    session.add(job)
    session.flush()
    return job, True
