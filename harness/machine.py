"""A description of the machine: a figure means nothing without it."""

from __future__ import annotations

import os
import platform as machine
from pathlib import Path


def describe_machine() -> str:
    """Processor, cores, memory, Python."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    name = next((line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{name}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, Python {machine.python_version()}"
