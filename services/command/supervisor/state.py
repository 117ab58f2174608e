"""What a home says about its running platform: the lock, the state file, and the processes marked with the home."""

from __future__ import annotations

import fcntl
import math
import os
import time
from collections.abc import Iterable
from pathlib import Path

import psutil
from pydantic import ValidationError

from services.command.supervisor.processes import MARK
from services.contracts.processes import SupervisorBody
from services.kit.private import write_private
from services.kit.settings import Platform

STATE = "supervisor.json"
LOCK = "supervisor.lock"


class Lock:
    """A supervisor holds it for its whole life; the kernel frees it however the supervisor ends."""

    def __init__(self, run_folder: Path) -> None:
        self.path = run_folder / LOCK
        self._descriptor: int | None = None

    def take(self, patience_s: float = 0.0) -> bool:
        """Whether it is ours now. It waits a little, because a mere check (`is_running`) holds it for an instant."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + patience_s
        while not _flock(descriptor):
            if time.monotonic() >= deadline:
                os.close(descriptor)
                return False
            time.sleep(0.02)
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def is_running(run_folder: Path) -> bool:
    """Whether a supervisor of this platform is alive."""
    if not (run_folder / LOCK).exists():
        return False
    lock = Lock(run_folder)
    free = lock.take()
    lock.release()
    return not free


def write_state(run_folder: Path, state: SupervisorBody) -> None:
    write_private(run_folder / STATE, state.model_dump_json(indent=1))


def read_state(run_folder: Path) -> SupervisorBody | None:
    """The last state that was written, of a running or a killed platform; None if there is none."""
    try:
        return SupervisorBody.model_validate_json((run_folder / STATE).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def running_state(platform: Platform) -> SupervisorBody | None:
    """The state of this home's platform, if its supervisor is alive.

    A supervisor that has just taken the lock has not yet removed the state of a killed one, which names dead processes.
    """
    found = read_state(platform.run_folder) if is_running(platform.run_folder) else None
    return found if found is not None and psutil.pid_exists(found.pid) else None


def marked_processes(home: Path, started_before: float = math.inf) -> list[psutil.Process]:
    """Every process that belongs to this home's platform, except the caller and its ancestors."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    others = (process for process in psutil.process_iter() if process.pid not in own)
    return [process for process in others if _has_mark(process, str(home), started_before)]


def _has_mark(process: psutil.Process, home: str, started_before: float) -> bool:
    try:
        if process.environ().get(MARK) != home or process.status() == psutil.STATUS_ZOMBIE:
            return False
        return bool(process.create_time() < started_before)
    except (psutil.Error, OSError):
        return False


def sweep(home: Path, grace_s: float, started_before: float = math.inf) -> list[int]:
    """End what a killed supervisor left: SIGTERM, and after `grace_s` seconds SIGKILL. Returns the pids that were
    found.

    `started_before` spares younger processes; in seconds since the epoch.
    """
    found = marked_processes(home, started_before)
    _each(found, "terminate")
    psutil.wait_procs(found, timeout=grace_s)
    remaining = marked_processes(home, started_before)
    _each(remaining, "kill")
    psutil.wait_procs(remaining, timeout=5)
    return [process.pid for process in found]


def _each(processes: Iterable[psutil.Process], action: str) -> None:
    for process in processes:
        try:
            getattr(process, action)()
        except psutil.NoSuchProcess:
            continue


def clear_run_folder(run_folder: Path) -> None:
    """Remove sockets and the state file. The lock's file stays: without it, two supervisors could hold the lock."""
    if not run_folder.is_dir():
        return
    for path in run_folder.rglob("*"):
        if path.is_socket():
            path.unlink(missing_ok=True)
    (run_folder / STATE).unlink(missing_ok=True)
