"""What the supervisor writes down about a platform's processes: `run/supervisor.json`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

ProcessState = Literal["waiting", "running", "restarting", "failed", "stopped"]


class Contract(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProcessBody(Contract):
    """One supervised process.

    `waiting`: another process must be up first. `restarting`: it ended and starts again at `next_start_at`.
    `failed`: it ended `failures` times in a row, five or more, none of them after a minute's healthy run; it is still
    tried every 30 s. `last_exit` is the exit code, negative for a signal. Times are seconds since the epoch.
    """

    name: str
    state: ProcessState
    pid: int | None
    started_at: float | None
    restarts: int
    failures: int
    last_exit: int | None
    next_start_at: float | None
    log: str


class SupervisorBody(Contract):
    """One platform: its supervisor's process id, its public addresses, and its processes in starting order."""

    pid: int
    home: str
    gateway_url: str
    dashboard_url: str
    started_at: float
    processes: list[ProcessBody]
