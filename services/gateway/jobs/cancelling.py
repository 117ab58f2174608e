"""Cancels jobs for a person, and updates what waits for them."""

from __future__ import annotations

from services.database.engine import Sessions
from services.database.tables import Job, StoreFile
from services.domain.jobs import Jobs
from services.domain.store_files import stop_indexing


class Cancelling:
    def __init__(self, sessions: Sessions, jobs: Jobs) -> None:
        self._sessions, self._jobs = sessions, jobs

    def cancel(self, workspace_id: str, job_id: str) -> Job:
        """Ask a job to end. If it was indexing a file, the file says so. Raises UnknownJob, WrongJobState."""
        job = self._jobs.request_cancel(workspace_id, job_id)
        if job.kind == "index_file":
            self._mark_file(job)
        return job

    def _mark_file(self, job: Job) -> None:
        asked = job.request
        row = StoreFile.store_id == asked["store_id"], StoreFile.file_id == asked["file_id"]
        waiting = StoreFile.revision == asked["revision"], StoreFile.status == "in_progress"
        with self._sessions.begin() as session:
            stop_indexing(session, *row, *waiting)
