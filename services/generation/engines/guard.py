"""Runs one engine, and makes sure that it ends with the service: `python guard.py CORES -- COMMAND...`.

The guard starts the engine in its own session on the given cores. It ends it when asked (SIGTERM), or when standard
input closes: the service holds the other end, so a service that is killed leaves no engine behind. If the guard itself
is killed, the kernel ends the engine. The guard ends with the engine's exit code.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from types import FrameType

SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
POLL_SECONDS = 0.1
PATIENCE_SECONDS = 8.0  # vLLM ends in 0.5 s; a bound for one that hangs
CLEANING_SECONDS = 2.0  # what vLLM's resource tracker gets to remove shared memory


def main(arguments: list[str]) -> int:
    """Run the command until it ends, is told to end, or the service is gone."""
    split = arguments.index("--")
    os.sched_setaffinity(0, {int(core) for core in arguments[0].split(",")})
    engine = subprocess.Popen(
        arguments[split + 1 :], stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent, process_group=0
    )
    told: list[int] = []  # no Event: a signal that came while the main thread held its lock would wait for it for ever

    def end(number: int, _frame: FrameType | None) -> None:
        told.append(number)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    threading.Thread(target=_await_service_end, args=(told,), daemon=True).start()
    while engine.poll() is None and not told:
        time.sleep(POLL_SECONDS)
    return _end(engine)


def _await_service_end(told: list[int]) -> None:
    while os.read(0, 1024):
        pass
    told.append(0)


def _end(engine: subprocess.Popen[bytes]) -> int:
    """Ask the engine to end, wait, then kill what is left of its process group."""
    if engine.poll() is None:
        engine.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        engine.wait(PATIENCE_SECONDS)
        _await_group_end(engine.pid, CLEANING_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(engine.pid, signal.SIGKILL)
    return engine.wait()


def _await_group_end(group: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.05)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
