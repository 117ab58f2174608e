"""Shows that a running job is alive, and tells the job when it is cancelled."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType

from sqlalchemy.exc import SQLAlchemyError

from services.database.patience import AWAY
from services.database.tables import Job
from services.domain.jobs import HEARTBEAT_SECONDS, Jobs

log = logging.getLogger(__name__)


class JobCancelled(Exception):
    """The job was asked to stop."""


class JobPaused(Exception):
    """The job was asked to pause, and keeps what it has done."""


class JobTaken(Exception):
    """The job was silent for too long and given to another worker, or it ended at its deadline."""


class Heartbeat:
    """Beats every five seconds from its own thread while the job's code runs."""

    def __init__(self, jobs: Jobs, job_id: str, started_at: datetime | None = None) -> None:
        self._jobs, self._job_id, self._started_at = jobs, job_id, started_at
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat-{job_id}", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            try:
                self._jobs.heartbeat(self._job_id)
            except SQLAlchemyError as error:  # the next beat may get through; whether it is too late, `check` finds out
                log.warning("no sign of life of the job %s could be given (%s)", self._job_id, type(error).__name__)

    def progress(self, stage: str, fraction: float, eta_seconds: float | None = None) -> None:
        """Record the job's progress. Raises as `check`."""
        self.check()
        with _taken_while_away(self._job_id):
            self._jobs.progress(self._job_id, stage, fraction, eta_seconds)

    def check(self) -> Job:
        """The job's row as it is now.

        Raises JobCancelled and JobPaused if somebody asked for that. Raises JobTaken if another worker has the job, or
        may have it because the database was away for longer than a job may be silent.
        """
        with _taken_while_away(self._job_id):
            job = self._jobs.current(self._job_id)
        if job is None or job.cancel_requested:
            raise JobCancelled(self._job_id)
        if job.status != "running" or (self._started_at and job.started_at != self._started_at):
            raise JobTaken(self._job_id)
        if job.pause_requested:
            raise JobPaused(self._job_id)
        return job


@contextmanager
def _taken_while_away(job_id: str) -> Iterator[None]:
    try:
        yield
    except AWAY as error:
        raise JobTaken(f"{job_id}: the database was away for too long") from error
