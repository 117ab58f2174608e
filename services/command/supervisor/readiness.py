"""Whether the processes of a running platform do their work, checked on request."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from services.command.supervisor.processes import ProcessSpec, Ready
from services.contracts.generation import SlotBody
from services.contracts.processes import ProcessBody
from services.kit.http import client
from services.kit.queue import make_celery
from services.kit.settings import Platform

ANSWER_S = 3.0
PING_S = 1.0
BUSY_AFTER_S = 60.0


@dataclass(frozen=True)
class Readiness:
    """`detail` says in words what is missing, or what the process is doing."""

    ready: bool
    detail: str = ""


def check_all(
    platform: Platform, specs: list[ProcessSpec], processes: Mapping[str, ProcessBody], now: float
) -> dict[str, Readiness]:
    """Ask every process. A process that does not run is not asked."""
    running = {spec.name: spec for spec in specs if spec.name in processes and processes[spec.name].pid is not None}
    wanted = [spec.ready.target for spec in running.values() if spec.ready.kind == "worker"]
    awake = awake_workers(platform, wanted)
    found = {name: Readiness(False) for name in processes}
    for name, spec in running.items():
        uptime = now - (processes[name].started_at or now)
        found[name] = _check(platform, spec.ready, uptime, awake)
    return found


def _check(platform: Platform, ready: Ready, uptime: float, awake: set[str]) -> Readiness:
    if ready.kind == "http":
        return ask_service(ready.target, platform.service_token)
    if ready.kind == "broker":
        return ask_broker(Path(ready.target))
    if ready.kind == "worker":
        return _worker(ready.target in awake, uptime)
    return Readiness(True)


def _worker(awake: bool, uptime: float) -> Readiness:
    if awake:
        return Readiness(True)
    if uptime >= BUSY_AFTER_S:
        return Readiness(True, "busy: a worker answers no ping during a job")
    return Readiness(False, "starting")


def ask_service(address: str, token: str) -> Readiness:
    """GET /ready of a service: 200 means ready; otherwise the answer is the detail."""
    try:
        with client(address, token, timeout=ANSWER_S) as http:
            answer = http.get("/ready")
    except httpx.TransportError:
        return Readiness(False, "does not answer yet")
    return Readiness(answer.status_code == 200, "" if answer.status_code == 200 else _reason(answer))


def _reason(answer: httpx.Response) -> str:
    try:
        body = answer.json()
    except ValueError:
        return f"HTTP {answer.status_code}"
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        return str(body["error"].get("message", ""))
    if isinstance(body, dict) and isinstance(body.get("parts"), dict):
        return f"waits for {', '.join(name for name, part in body['parts'].items() if not part.get('ready'))}"
    return f"HTTP {answer.status_code}"


def ask_broker(path: Path) -> Readiness:
    """A PING; the answer that a password is needed first counts too."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_S)
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            answer = connection.recv(64)
    except OSError:
        return Readiness(False, "does not answer yet")
    if answer.startswith((b"+PONG", b"-NOAUTH")):
        return Readiness(True)
    return Readiness(False, answer.decode(errors="replace").strip("+-\r\n "))


def awake_workers(platform: Platform, queues: list[str]) -> set[str]:
    """The queues whose worker answered a ping within a second."""
    if not queues:
        return set()
    app = make_celery(platform.broker_url)
    try:
        replies = app.control.ping(timeout=PING_S, limit=len(queues))
    except (OperationalError, RedisError, OSError):
        return set()
    finally:
        app.close()
    return {name.partition("@")[0] for reply in replies for name in reply}


def generation_doing(platform: Platform) -> str:
    """What the slots are doing, as one line; empty if generation does not say."""
    try:
        with client(platform.generation_url, platform.service_token, timeout=ANSWER_S) as http:
            answer = http.get("/slots")
            slots = [SlotBody.model_validate(row) for row in answer.raise_for_status().json()]
    except (httpx.HTTPError, ValueError):
        return ""
    return ", ".join(
        f"{slot.name} ({slot.role}) {slot.state}" + (f": {slot.error}" if slot.error else "") for slot in slots
    )
