"""What the tasks of every worker process share: made on first use, never at import."""

from __future__ import annotations

from contextlib import suppress
from functools import cache

from kombu.exceptions import OperationalError

from services.contracts.jobs import TASKS, priority
from services.database.engine import Sessions, open_sessions
from services.database.tables import Job
from services.domain.jobs import Jobs
from services.kit.settings import Platform
from services.worker.app import app
from services.worker.settings import WorkerSettings


@cache
def sessions() -> Sessions:
    return open_sessions(Platform().database_url, WorkerSettings().silent_seconds)


@cache
def jobs() -> Jobs:
    return Jobs(sessions(), WorkerSettings().silent_seconds)


def send(job: Job) -> None:
    """Hand a job to the workers. If the broker does not answer, the job waits, and the tick offers it again."""
    task, queue = TASKS[job.kind]
    with suppress(OperationalError, OSError):
        app.send_task(task, args=[job.id], queue=queue, task_id=job.id, priority=priority(job.request))
