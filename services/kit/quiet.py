"""Background work at low priority, so that the processor is free for answering questions."""

from __future__ import annotations

import os

LEAST = 19


def be_quiet() -> None:
    """Let this process, and those it starts, run only when no other needs the processor.

    Linux's idle class yields at once; a process with a high nice value still gets its turn of some milliseconds.
    """
    os.nice(LEAST - os.getpriority(os.PRIO_PROCESS, 0))
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
