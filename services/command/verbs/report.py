"""What the commands found and did, in tables and words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.command.output import Output, seconds, table
from services.command.supervisor.health import PlatformStatus, ProcessStatus
from services.command.supervisor.launch import Stopped
from services.command.supervisor.state import running_state
from services.command.verbs.doctor import Check
from services.command.verbs.doctor import as_json as checks_as_json
from services.command.verbs.ingesting import Result
from services.kit.settings import Platform

COLUMNS = ("process", "state", "ready", "pid", "uptime", "restarts", "memory", "")


def starting(output: Output, platform: Platform, *, already_running: bool) -> None:
    """What the platform will be, shown before it runs in the foreground."""
    started(output, platform, already_running=already_running, ready=False)


def started(output: Output, platform: Platform, *, already_running: bool, ready: bool) -> None:
    found = running_state(platform)
    gateway = found.gateway_url if found else platform.gateway_url
    dashboard = found.dashboard_url if found else platform.dashboard_url
    key = platform.secrets_folder / "api_key"
    value = {
        "home": str(platform.home),
        "gateway_url": gateway,
        "dashboard_url": dashboard,
        "api_key_file": str(key),
        "logs": str(platform.log_folder),
        "pid": found.pid if found else None,
        "already_running": already_running,
        "ready": ready,
    }
    words = f"The API is at {gateway}/v1, the pages at {dashboard}. The key is in {key}. `tandem down` stops it."
    output.result(value, words)


def stopped(output: Output, platform: Platform, outcome: Stopped) -> None:
    value = {"home": str(platform.home), "was_running": outcome.was_running, "swept": outcome.swept}
    words = "Stopped." if outcome.was_running else f"Nothing was running in {platform.home}."
    if outcome.swept:
        words += f" {outcome.swept} processes that an earlier supervisor had left were ended."
    output.result(value, words)


def status(output: Output, found: PlatformStatus) -> None:
    if not found.running:
        output.result(found.model_dump(), f"Nothing runs in {found.home}. `tandem up --detach` starts it.")
        return
    output.result(found.model_dump(), table(COLUMNS, [_row(process) for process in found.processes]))
    output.remark(f"home {found.home}, API {found.gateway_url}/v1, up {seconds(found.uptime_seconds)}")
    if found.generation:
        output.remark(f"slots: {found.generation}")
    for process in found.processes:
        if process.last_lines:
            output.remark("\n".join([f"{process.name}, end of {process.log}:", *process.last_lines]))


def _row(process: ProcessStatus) -> tuple[object, ...]:
    return (
        process.name,
        process.state,
        "yes" if process.ready else "no",
        process.pid,
        seconds(process.uptime_seconds),
        process.restarts,
        f"{process.memory_bytes / 2**20:.0f} MB" if process.memory_bytes is not None else None,
        process.detail,
    )


def checks(output: Output, found: Sequence[Check]) -> None:
    rows = [(check.name, check.verdict, check.detail) for check in found]
    output.result(checks_as_json(list(found)), table(("check", "verdict", ""), rows))


def ingested(output: Output, value: dict[str, Any], results: Sequence[Result]) -> None:
    for result in results:
        if result.outcome == "failed":
            output.remark(f"{result.name}: {result.reason}")
    words = ", ".join(f"{value[name]} {name}" for name in ("added", "replaced", "unchanged", "failed") if value[name])
    output.result(value, f"{words or 'nothing'} in {value['vector_store_id']}")


def jobs(output: Output, found: list[dict[str, Any]]) -> None:
    columns = ("id", "kind", "status", "stage", "progress", "left", "reason")
    rows = [
        (*(job[name] for name in columns[:4]), f"{job['progress']:.0%}", seconds(job["eta_seconds"]), job["reason"])
        for job in found
    ]
    output.result(found, table(columns, rows) if found else "No jobs yet.")


def versions(output: Output, found: list[dict[str, Any]]) -> None:
    rows = [(row["name"], row["status"], _marks(row), _day(row)) for row in found]
    output.result(found, table(("version", "status", "", "made"), rows) if found else "No versions yet.")


def _marks(row: dict[str, Any]) -> str:
    marks = [name for name in ("live", "previous", "pinned") if row[name]]
    return ", ".join([*marks, *([f"canary {row['canary']['share']:.0%}"] if row["canary"] else [])])


def _day(row: dict[str, Any]) -> str:
    return datetime.fromtimestamp(row["created_at"]).astimezone().strftime("%Y-%m-%d %H:%M")
