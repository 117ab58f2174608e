"""A training job in a process of its own: never a fork of the worker, and ended as a whole on cancel."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from services.database.tables import Job
from services.worker.heartbeat import Heartbeat, JobCancelled, JobTaken

POLL_SECONDS = 1.0
GRACE_SECONDS = 20.0


def run_training(job: Job, heartbeat: Heartbeat, module: str = "services.worker.fine_tune") -> dict[str, Any]:
    """Run the job's process, `python -m module JOB`, to its end; it writes its own progress, events and result.

    Raises JobCancelled when the job was cancelled and nothing of it runs any more, RuntimeError when the process died.
    """
    process = subprocess.Popen([sys.executable, "-m", module, job.id], start_new_session=True)
    _give_way(process.pid)
    try:
        while process.poll() is None:
            heartbeat.check()
            _wait(process, POLL_SECONDS)
    except JobCancelled:
        _wait(process, GRACE_SECONDS)
        raise
    except JobTaken:  # or the process has just recorded the job's end, and is clearing up
        _wait(process, GRACE_SECONDS)
        if process.poll() != 0:
            raise
    finally:
        _end(process)
    if process.returncode != 0:
        raise RuntimeError(f"the training process ended with {_how(process.returncode)}; see the worker's log")
    return {}


def _give_way(pid: int) -> None:
    """Let this worker's low priority count between sessions too: Linux shares the processor by session first."""
    with suppress(OSError):  # a kernel without autogroups
        Path(f"/proc/{pid}/autogroup").write_text(str(os.getpriority(os.PRIO_PROCESS, 0)))


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill whatever is left of the process's group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
