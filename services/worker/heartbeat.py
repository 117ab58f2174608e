"""A running job's sign of life, and its ear for cancellation."""

from __future__ import annotations

import threading
from datetime import datetime
from types import TracebackType

from services.database.jobs import HEARTBEAT_SECONDS, Jobs
from services.database.tables import Job


class JobCancelled(Exception):
    """The job was asked to stop."""


class JobPaused(Exception):
    """The job was asked to wait, and keeps what it has done."""


class JobTaken(Exception):
    """The job was given to another worker, after a long silence, or ended at its deadline."""


class Heartbeat:
    """Beats every five seconds from a thread of its own while the job's code runs."""

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
            self._jobs.heartbeat(self._job_id)

    def progress(self, stage: str, fraction: float, eta_seconds: float | None = None) -> None:
        """Record where the job stands. Raises as `check`."""
        self.check()
        self._jobs.progress(self._job_id, stage, fraction, eta_seconds)

    def check(self) -> Job:
        """The job as it stands.

        Raises JobCancelled and JobPaused where somebody asked for that, JobTaken where another worker has it.
        """
        job = self._jobs.current(self._job_id)
        if job is None or job.cancel_requested:
            raise JobCancelled(self._job_id)
        if job.status != "running" or (self._started_at and job.started_at != self._started_at):
            raise JobTaken(self._job_id)
        if job.pause_requested:
            raise JobPaused(self._job_id)
        return job
