"""A reindexing job as the worker sees it: a process of its own, `services.worker.reindex_process`, that it starts.

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
        """Start the job's process, unless it runs; False where that of another job does.

        A job that is done or taken ends it at once.
        """
        if self._process is not None and self._process.poll() is None:
            return self._job_id == job_id
        self._job_id = job_id
        self._process = subprocess.Popen([sys.executable, "-m", "services.worker.reindex_process", job_id])
        Thread(target=self._process.wait, daemon=True).start()  # else a dead one stays in the process table
        return True
