"""Ends this process when the process that started it ends."""

from __future__ import annotations

import ctypes
import os
import signal

SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent is gone; end at once if it is gone already.

    Call it first in a process that must not work on alone.
    """
    ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() == 1:
        raise SystemExit("the process that started this one is gone")
