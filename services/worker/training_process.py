"""Runs a training job in its own process: never a fork of the worker. To stop it, its whole process group is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from services.database.tables import Job
from services.worker.heartbeat import Heartbeat, JobCancelled, JobPaused, JobTaken
from training.errors import TrainingError

POLL_SECONDS = 1.0
GRACE_SECONDS = 20.0
MOST_TRIES = 3
"""How often a run is begun without getting as far as another checkpoint; a crash that comes each time ends it."""


class RunLost(TrainingError):
    """The process ended without an outcome; another attempt continues from its last checkpoint."""


class RunFailed(TrainingError):
    """The process was lost too often."""


def run_training(
    job: Job,
    heartbeat: Heartbeat,
    module: str,
    stuck_seconds: float = float("inf"),
    environment: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Run the job's process, `python -m module JOB`, to its end. It writes its own progress, events and result.

    `environment` are its variables in addition to this worker's.

    Raises JobCancelled and JobPaused when none of its processes runs any more. Raises RunLost if the process died, or
    was ended because it reported no progress for `stuck_seconds`; RunFailed if that was the last attempt.
    """
    if job.tries > MOST_TRIES:
        raise RunFailed(f"The run was begun {MOST_TRIES} times, and each time its worker was lost. {ADVICE}")
    command = [sys.executable, "-m", module, job.id]
    process = subprocess.Popen(command, env={**os.environ, **environment}, start_new_session=True)
    _give_way(process.pid)
    progress = _Progress(job.progress_at)
    try:
        while process.poll() is None:
            job = heartbeat.check()
            if progress.quiet_seconds(job) > stuck_seconds:
                raise _lost(job, f"was ended: it told no progress for {stuck_seconds:.0f} s while {job.stage!r}")
            _wait(process, POLL_SECONDS)
    except (JobCancelled, JobPaused):
        _wait(process, GRACE_SECONDS)
        raise
    except JobTaken:  # or the process has just recorded the job's end, and is clearing up
        _wait(process, GRACE_SECONDS)
        if process.poll() != 0:
            raise
        return {}
    finally:
        _end(process)
    with suppress(JobTaken):  # the usual end: the process has recorded it
        job = heartbeat.check()
        raise _lost(job, f"ended with {_how(process.returncode)}; see the worker's log")
    return {}


ADVICE = "See the worker's log; a machine with too little memory is the usual reason."


def _lost(job: Job, what: str) -> TrainingError:
    if job.tries < MOST_TRIES:
        return RunLost(f"the training process {what} (try {job.tries} of {MOST_TRIES})")
    return RunFailed(f"The training process {what}. That was try {MOST_TRIES} of {MOST_TRIES}. {ADVICE}")


class _Progress:
    """How long a run has reported nothing. Only this worker's checks count, not the time of a sleeping machine."""

    def __init__(self, told_at: datetime | None) -> None:
        self._told_at, self._looks = told_at, 0

    def quiet_seconds(self, job: Job) -> float:
        self._looks = self._looks + 1 if job.progress_at == self._told_at else 0
        self._told_at = job.progress_at
        return self._looks * POLL_SECONDS


def _give_way(pid: int) -> None:
    """Make this worker's low priority count between sessions too: Linux shares the processor by session first."""
    with suppress(OSError):  # a kernel without autogroups
        Path(f"/proc/{pid}/autogroup").write_text(str(os.getpriority(os.PRIO_PROCESS, 0)))


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill all processes of the group that still run."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
