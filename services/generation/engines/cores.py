"""Which processor cores each kind of slot runs on.

Two servers whose threads share cores block each other at thread barriers: measured on two cores, the second was not
ready within 200 s and the first became up to five times slower. On separate cores the first was not affected.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

Cores = tuple[int, ...]


@dataclass(frozen=True)
class CoreGroups:
    """Cores for the live slots, the base slot, and the spare and retired slots."""

    live: Cores
    base: Cores
    spare: Cores


def allowed_cores() -> Cores:
    """The cores that this process may use, in order."""
    return tuple(sorted(os.sched_getaffinity(0)))


def divide(cores: Cores, serve_base: bool) -> CoreGroups:
    """Even groups, disjoint if there are enough cores: base and spare share cores before either shares with live.

    Raises ValueError if there is no core.
    """
    if not cores:
        raise ValueError("no processor core is allowed to this process")
    wanted = 3 if serve_base else 2
    if len(cores) == 1:
        return CoreGroups(cores, cores, cores)
    parts = _parts(cores, min(wanted, len(cores)))
    return CoreGroups(live=parts[0], base=parts[1], spare=parts[-1])


def _parts(cores: Cores, count: int) -> list[Cores]:
    """Runs of cores; the first groups take the remainder."""
    size, more = divmod(len(cores), count)
    ends = [size * (number + 1) + min(number + 1, more) for number in range(count)]
    return [cores[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def pin(processes: Iterable[int], cores: Cores) -> None:
    """Move every thread of these processes onto the cores. A thread that ends meanwhile is skipped."""
    for process in processes:
        for task in _tasks(process):
            try:
                os.sched_setaffinity(task, cores)
            except ProcessLookupError:
                continue


def _tasks(process: int) -> list[int]:
    try:
        return [int(entry.name) for entry in Path(f"/proc/{process}/task").iterdir()]
    except (FileNotFoundError, ProcessLookupError):
        return []
