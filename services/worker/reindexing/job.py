"""A reindexing job as the worker sees it: it starts `services.worker.reindex_process` in a process of its own.

Files that users add meanwhile do not wait for it.
"""

from __future__ import annotations

import subprocess
import sys
from threading import Thread


class ReindexingJob:
    """One process at a time. It claims its job itself, and ends with this worker."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._job_id = ""

    def start(self, job_id: str) -> bool:
        """Start the job's process, unless it already runs; False if the process of another job runs.

        The process ends at once if the job is done or taken.
        """
        if self._process is not None and self._process.poll() is None:
            return self._job_id == job_id
        self._job_id = job_id
        self._process = subprocess.Popen([sys.executable, "-m", "services.worker.reindex_process", job_id])
        Thread(target=self._process.wait, daemon=True).start()  # else a dead one stays in the process table
        return True
