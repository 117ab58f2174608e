"""A running job's sign of life, and its ear for cancellation."""

from __future__ import annotations

import threading
from types import TracebackType

from services.database.jobs import HEARTBEAT_SECONDS, Jobs


class JobCancelled(Exception):
    """The job was asked to stop."""


class Heartbeat:
    """Beats every five seconds from a thread of its own while the job's code runs."""

    def __init__(self, jobs: Jobs, job_id: str) -> None:
        self._jobs, self._job_id = jobs, job_id
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
        """Record where the job stands. Raises JobCancelled where somebody asked it to stop."""
        self.check()
        self._jobs.progress(self._job_id, stage, fraction, eta_seconds)

    def check(self) -> None:
        """Raises JobCancelled where somebody asked the job to stop."""
        if self._jobs.cancel_requested(self._job_id):
            raise JobCancelled(self._job_id)
