"""One supervised process: start it, see whether it ended, end it."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

from services.command.supervisor.backoff import Backoff
from services.command.supervisor.processes import ProcessSpec
from services.contracts.processes import ProcessBody, ProcessState
from services.kit.private import append_descriptor

reasons = logging.getLogger(__name__)

ROTATE_AT_BYTES = 20 * 1024 * 1024
PR_SET_PDEATHSIG = 1
COULD_NOT_START = 127  # as a shell has it


@dataclass
class Child:
    """A spec and the state of its process. Times are seconds since the epoch."""

    spec: ProcessSpec
    log: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    backoff: Backoff = field(default_factory=Backoff)
    started_at: float | None = None
    next_start_at: float | None = None
    starts: int = 0
    last_exit: int | None = None

    def tend(self, now: float) -> bool:
        """Start what is due, and check what ended. Returns whether anything changed."""
        if self.process is None:
            return self._start_if_due(now)
        code = self.process.poll()
        ran = now - (self.started_at or now)
        if code is None:
            before, self.backoff = self.backoff, self.backoff.while_running(ran)
            return before != self.backoff
        self._note_end(code, ran, now)
        return True

    def signal_group(self, number: int) -> None:
        """Signal the process and all that it started in its group; harmless if there is none."""
        if self.process is not None:
            _kill_group(self.process.pid, number)

    def group_is_gone(self) -> bool:
        if self.process is None:
            return True
        self.process.poll()  # a leader that is not collected keeps its group
        return not _group_exists(self.process.pid)

    def body(self) -> ProcessBody:
        running = self.process is not None and self.process.poll() is None
        return ProcessBody(
            name=self.spec.name,
            state=self._state(running),
            pid=self.process.pid if self.process is not None and running else None,
            started_at=self.started_at if running else None,
            restarts=max(0, self.starts - 1),
            failures=self.backoff.failures,
            last_exit=self.last_exit,
            next_start_at=self.next_start_at,
            log=str(self.log),
        )

    def _state(self, running: bool) -> ProcessState:
        if self.backoff.failed:
            return "failed"
        if running:
            return "running"
        return "restarting" if self.starts else "waiting"

    def _start_if_due(self, now: float) -> bool:
        if self.next_start_at is not None and now < self.next_start_at:
            return False
        if self.spec.waits_for is not None and not self.spec.waits_for.exists():
            return False
        self.process = _spawn(self.spec, self.log, self.environment)
        self.started_at, self.next_start_at = now, None
        self.starts += 1
        if self.process is None:
            self._note_end(COULD_NOT_START, 0.0, now)
        return True

    def _note_end(self, code: int, ran: float, now: float) -> None:
        self.signal_group(signal.SIGTERM)  # what it started must not work on without it
        self.process, self.started_at, self.last_exit = None, None, code
        self.backoff = self.backoff.after_run(ran)
        self.next_start_at = now + self.backoff.delay


def rotate(log: Path, limit: int = ROTATE_AT_BYTES) -> None:
    """Rename a log that is larger than `limit` bytes; the earlier renamed one is replaced."""
    if log.exists() and log.stat().st_size > limit:
        log.replace(log.with_name(log.name + ".1"))


def _spawn(spec: ProcessSpec, log: Path, environment: dict[str, str]) -> subprocess.Popen[bytes] | None:
    """The running process, or None if the system could not start it; the supervisor's log has the reason."""
    try:
        rotate(log)
        with os.fdopen(append_descriptor(log), "ab", buffering=0) as output:
            output.write(f"--- {time.strftime('%Y-%m-%dT%H:%M:%S%z')} starting {spec.name}\n".encode())
            return _open(spec, output, environment)
    except OSError as error:
        reasons.error("%s could not be started: %s", spec.name, error)
        return None


def _open(spec: ProcessSpec, output: IO[bytes], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        spec.argv,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env={**environment, **spec.env},
        process_group=0,
        preexec_fn=_prepare(spec.nice),  # safe: this process has one thread
    )


def _prepare(nice: int) -> Callable[[], None]:
    """What the new process does before it becomes another program: arrange to die with its parent, and lower its
    priority.
    """
    parent = os.getpid()
    library = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def prepare() -> None:
        if library is not None:
            library.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        if nice:
            os.nice(nice)

    return prepare


def _kill_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


def _group_exists(group: int) -> bool:
    """Whether the group has a member that is more than an uncollected exit code."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return any(_lives_in(process, group) for process in psutil.process_iter())


def _lives_in(process: psutil.Process, group: int) -> bool:
    try:
        return os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):
        return False
