"""The processes of a platform on one machine, in starting order."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from services.command.supervisor import broker
from services.contracts.jobs import INDEX_QUEUE, LIGHT_THREADS, LIGHT_WORKER, SYNC_QUEUE, TICK_QUEUE, TRAIN_QUEUE
from services.kit.settings import Platform

MARK = "TANDEM_SUPERVISED"  # in the environment of every process of a platform, with its home


@dataclass(frozen=True)
class Ready:
    """How to check that a process does its work: `http` asks an address, `broker` and `worker` send a ping."""

    kind: Literal["http", "broker", "worker", "alive"]
    target: str = ""


@dataclass(frozen=True)
class ProcessSpec:
    """A process to keep running. It starts when `waits_for` exists; `nice` lowers its priority.

    `leaves_last` marks what the others need until they have stopped.
    """

    name: str
    argv: tuple[str, ...]
    ready: Ready
    env: dict[str, str] = field(default_factory=dict)
    waits_for: Path | None = None
    nice: int = 0
    leaves_last: bool = False


def platform_specs(platform: Platform) -> list[ProcessSpec]:
    """What `tandem up` starts. If the settings name a broker elsewhere, none is started here."""
    ours = broker.is_ours(platform)
    first = [_broker(platform)] if ours else []
    socket = broker.socket_path(platform) if ours else None
    return [
        *first,
        _service("retrieval", Ready("http", platform.retrieval_url)),
        _service("generation", Ready("http", platform.generation_url)),
        _service("gateway", Ready("http", platform.gateway_url), socket),
        _worker(INDEX_QUEUE, socket),
        _worker(TRAIN_QUEUE, socket, nice=10),
        _light_worker(socket),
        _beat(platform, socket),
        _service("dashboard", Ready("http", platform.dashboard_url)),
    ]


def environment(platform: Platform) -> dict[str, str]:
    """The environment of every process of the platform. It has no secrets: they are files in home."""
    return {
        MARK: str(platform.home),
        "TANDEM_HOME": str(platform.home),
        "TANDEM_GATEWAY_URL": platform.gateway_url,
        "TANDEM_DASHBOARD_URL": platform.dashboard_url,
        "PYTHONUNBUFFERED": "1",
        "SPT_NOENV": "1",  # a process that renames itself must not overwrite the mark
    }


def _broker(platform: Platform) -> ProcessSpec:
    argv = (str(broker.find_server()), str(broker.config_path(platform)))
    return ProcessSpec("broker", argv, Ready("broker", str(broker.socket_path(platform))), leaves_last=True)


def _service(name: str, ready: Ready, waits_for: Path | None = None) -> ProcessSpec:
    return ProcessSpec(name, (sys.executable, "-m", f"services.{name}"), ready, waits_for=waits_for)


def _worker(queue: str, waits_for: Path | None, nice: int = 0) -> ProcessSpec:
    argv = (*_celery("worker"), "-Q", queue, "-I", "services.worker.tasks", "--pool=solo", *_node(queue))
    return ProcessSpec(f"worker-{queue}", argv, Ready("worker", queue), waits_for=waits_for, nice=nice)


def _light_worker(waits_for: Path | None) -> ProcessSpec:
    """The tick and the syncs, in threads of one process that loads no model."""
    pool = ("--pool=threads", f"--concurrency={LIGHT_THREADS}")
    queues = ("-Q", f"{TICK_QUEUE},{SYNC_QUEUE}", "-I", "services.worker.light")
    argv = (*_celery("worker"), *queues, *pool, *_node(LIGHT_WORKER))
    return ProcessSpec(f"worker-{LIGHT_WORKER}", argv, Ready("worker", LIGHT_WORKER), waits_for=waits_for)


def _node(name: str) -> tuple[str, ...]:
    """A worker's own name, by which a ping reaches it."""
    return ("-n", f"{name}@%h", "--without-gossip", "--without-mingle")


def _beat(platform: Platform, waits_for: Path | None) -> ProcessSpec:
    schedule = platform.beat_folder / "schedule"
    argv = (*_celery("beat"), "--schedule", str(schedule), "--pidfile=")
    return ProcessSpec("beat", argv, Ready("alive"), waits_for=waits_for)


def _celery(command: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "celery", "-A", "services.worker.app", command)
