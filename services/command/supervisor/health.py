"""`tandem status`: the processes of a home, and whether they do their work."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

from services.command.supervisor import state
from services.command.supervisor.processes import platform_specs
from services.command.supervisor.readiness import Readiness, check_all, generation_doing
from services.contracts.processes import ProcessBody, ProcessState, SupervisorBody
from services.kit.settings import Platform

TAIL_LINES = 8
TAIL_BYTES = 16_384


class ProcessStatus(BaseModel):
    """One process now. `last_lines` are the end of its log, if it ended by itself recently."""

    model_config = ConfigDict(frozen=True)

    name: str
    state: ProcessState
    ready: bool
    detail: str
    pid: int | None
    uptime_seconds: float | None
    restarts: int
    failures: int
    last_exit: int | None
    memory_bytes: int | None
    log: str
    last_lines: list[str]


class PlatformStatus(BaseModel):
    """A home now. `ready` says whether every process does its work, `generation` what the slots are doing."""

    model_config = ConfigDict(frozen=True)

    home: str
    running: bool
    ready: bool
    pid: int | None = None
    uptime_seconds: float | None = None
    gateway_url: str = ""
    dashboard_url: str = ""
    generation: str = ""
    processes: list[ProcessStatus] = []


def inspect(platform: Platform) -> PlatformStatus:
    """The state of the platform in this home; asks its processes."""
    found = state.running_state(platform)
    if found is None:
        return PlatformStatus(home=str(platform.home), running=False, ready=False)
    here = Platform(home=platform.home, gateway_url=found.gateway_url, dashboard_url=found.dashboard_url)
    now = time.time()
    processes = {process.name: process for process in found.processes}
    readiness = check_all(here, platform_specs(here), processes, now)
    rows = [_row(process, readiness[process.name], now) for process in found.processes]
    return _status(here, found, rows, now)


def _status(platform: Platform, found: SupervisorBody, rows: list[ProcessStatus], now: float) -> PlatformStatus:
    return PlatformStatus(
        home=found.home,
        running=True,
        ready=bool(rows) and all(row.ready for row in rows),
        pid=found.pid,
        uptime_seconds=now - found.started_at,
        gateway_url=found.gateway_url,
        dashboard_url=found.dashboard_url,
        generation=generation_doing(platform),
        processes=rows,
    )


def _row(process: ProcessBody, readiness: Readiness, now: float) -> ProcessStatus:
    return ProcessStatus(
        **process.model_dump(include={"name", "state", "pid", "restarts", "failures", "last_exit", "log"}),
        ready=readiness.ready and process.state == "running",
        detail=readiness.detail,
        uptime_seconds=now - process.started_at if process.started_at is not None else None,
        memory_bytes=memory(process.pid) if process.pid is not None else None,
        last_lines=last_lines(Path(process.log)) if process.failures else [],
    )


def memory(pid: int) -> int | None:
    """Resident bytes of a process and all that it started."""
    try:
        process = psutil.Process(pid)
        members = [process, *process.children(recursive=True)]
    except psutil.Error:
        return None
    return sum(_resident(member) for member in members)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def last_lines(log: Path, count: int = TAIL_LINES) -> list[str]:
    """The end of a log; empty if there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return []
