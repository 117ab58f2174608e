"""Hands jobs to the workers' queues."""

from __future__ import annotations

import logging
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError
from sqlalchemy.orm import Session

from services.contracts.jobs import FINISHED, TASKS, JobKind, priority
from services.database.tables import Job
from services.domain.jobs import Jobs, new_job
from services.kit.errors import ApiError

log = logging.getLogger(__name__)


class Dispatcher:
    """Hands a job's task to the broker, once the job's row is committed.

    If the broker does not answer, the job stays queued and says so; beat offers it again every minute.
    """

    def __init__(self, celery: Celery, jobs: Jobs, deadlines: dict[JobKind, float]) -> None:
        self._celery, self._jobs, self._deadlines = celery, jobs, deadlines

    def start(self, workspace_id: str, kind: JobKind, request: dict[str, Any]) -> Job:
        """Create a job and send it."""
        with self._jobs.transaction() as session:
            job = self.add(session, workspace_id, kind, request)
        self.send(job)
        return job

    def start_once(self, workspace_id: str, kind: JobKind, request: dict[str, Any]) -> Job:
        """The store's unfinished job of this kind, or a new one: a store has one of a kind at a time.

        Raises ApiError 409 if the unfinished job does something else.
        """
        for job in self._jobs.list(workspace_id, kind):
            if job.status not in FINISHED and job.request.get("store_id") == request["store_id"]:
                if job.request != request:
                    message = f"The job '{job.id}' is at work on this store with {job.request}; cancel it, or wait."
                    raise ApiError(409, message, code="store_is_busy", param="vector_store_id")
                return job
        return self.start(workspace_id, kind, request)

    def add(self, session: Session, workspace_id: str, kind: JobKind, request: dict[str, Any]) -> Job:
        """Create a job in the caller's transaction, so that the job and its subject are stored together."""
        job = new_job(workspace_id, kind, request, self._deadlines[kind])
        session.add(job)
        return job

    def send(self, job: Job) -> None:
        task, queue = TASKS[job.kind]
        try:
            place = priority(job.request)
            self._celery.send_task(task, args=[job.id], queue=queue, task_id=job.id, priority=place)
        except (OperationalError, OSError) as error:
            log.warning("job %s waits: the broker does not answer (%s)", job.id, error)
            self._jobs.explain(job.id, "the broker does not answer; offered again every minute")
