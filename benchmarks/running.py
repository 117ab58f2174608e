"""What the benchmarks share: the machine in words, a platform to measure, percentiles."""

from __future__ import annotations

import json
import os
import platform as machine
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.kit.settings import Platform

BRINDLE = Path(__file__).parent.parent / "samples" / "brindle"


def describe_machine() -> str:
    """Processor, cores, memory: a figure means nothing without them."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    name = next((line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{name}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, Python {machine.python_version()}"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of the values do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(0, min(len(ranked) - 1, round(share * len(ranked) + 0.5) - 1))]


def api_key(platform: Platform) -> str:
    return (platform.secrets_folder / "api_key").read_text().strip()


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def report(name: str, figures: dict[str, Any]) -> None:
    """The figures as one line of JSON, for scripts."""
    print(json.dumps({"benchmark": name, "machine": describe_machine(), **figures}), flush=True)
