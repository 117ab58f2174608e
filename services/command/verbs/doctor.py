"""`tandem doctor`: can this machine run the platform?"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from services.command.errors import CommandError
from services.command.supervisor import broker
from services.command.supervisor.launch import check_port
from services.command.supervisor.state import is_running
from services.kit.settings import Platform

PYTHONS = ((3, 11), (3, 12), (3, 13))
GIB = 2**30
ROOM = 10 * GIB  # base weights, one index, a few versions of a small model
MEMORY = 12 * GIB  # free: a server of 3.6 GB, a second while publishing, a training of 4.2 GB, and 1 GB for the rest
PARTS = {
    "retrieval": ("qdrant_edge", "sentence_transformers", "pypdf", "bs4", "llama_index.core"),
    "generation": ("transformers", "gguf"),
    "worker": ("celery", "redis", "peft", "trl", "croniter"),
    "dashboard": ("nicegui",),
}


@dataclass(frozen=True)
class Check:
    """`bad` keeps the platform from running, `warning` may do so."""

    name: str
    verdict: Literal["good", "warning", "bad"]
    detail: str


def examine(platform: Platform) -> list[Check]:
    """Every check; none of them changes anything."""
    checks: list[Callable[[Platform], Check]] = [_python, _packages, _engine, _broker, _home, _ports]
    return [*(check(platform) for check in checks), *_machine(platform)]


def as_json(checks: list[Check]) -> dict[str, Any]:
    return {"good": all(check.verdict != "bad" for check in checks), "checks": [asdict(check) for check in checks]}


def _python(_platform: Platform) -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info[:2] in PYTHONS
    return Check("python", "good" if good else "bad", f"{version}{'' if good else '; 3.11, 3.12 or 3.13 is needed'}")


def _packages(_platform: Platform) -> Check:
    missing = [f"{name} ({part})" for part, names in PARTS.items() for name in names if not _installed(name)]
    if missing:
        return Check("packages", "bad", f"not installed: {', '.join(missing)}; run `make install`")
    return Check("packages", "good", "all that the services import is installed")


def _engine(_platform: Platform) -> Check:
    if _installed("vllm"):
        return Check("engine", "good", "vLLM")
    return Check("engine", "warning", "vLLM is not installed: slots run `transformers serve`, which is slower")


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _broker(platform: Platform) -> Check:
    if platform.broker_url and not broker.is_ours(platform):
        return Check("broker", "good", "named by broker_url")
    try:
        return Check("broker", "good", str(broker.find_server()))
    except CommandError as error:
        return Check("broker", "bad", str(error))


def _home(platform: Platform) -> Check:
    folder = _existing(platform.home)
    if not os.access(folder, os.W_OK | os.X_OK):
        return Check("home", "bad", f"{folder} cannot be written to; choose another home (TANDEM_HOME)")
    return Check("home", "good", str(platform.home))


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _ports(platform: Platform) -> Check:
    if is_running(platform.run_folder):
        return Check("ports", "good", "in use by this home's running platform")
    try:
        check_port("gateway_url", platform.gateway_url)
        check_port("dashboard_url", platform.dashboard_url)
    except CommandError as error:
        return Check("ports", "bad", str(error))
    return Check("ports", "good", f"{platform.gateway_url} and {platform.dashboard_url} are free")


def _machine(platform: Platform) -> list[Check]:
    room = shutil.disk_usage(_existing(platform.home)).free
    memory = psutil.virtual_memory().available
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return [
        Check("disk", "good" if room >= ROOM else "warning", f"{room / GIB:.1f} GB free; {ROOM / GIB:.0f} are advised"),
        Check(
            "memory",
            "good" if memory >= MEMORY else "warning",
            f"{memory / GIB:.1f} GB free; {MEMORY / GIB:.0f} are advised",
        ),
        Check("cores", "good" if cores >= 2 else "warning", f"{cores}; with one, publishing slows the live model down"),
    ]
