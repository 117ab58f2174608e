"""Engines that run nothing, and an executor that runs its work when told."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from threading import Event
from typing import Any

from services.generation.engines.cores import CoreGroups, Cores
from services.generation.slots.draining import Patience
from services.generation.slots.fleet import Fleet
from services.generation.slots.starting import SlotFailed, Weights


class FakeEngine:
    """An engine that is up until it is stopped or `crash` is set."""

    def __init__(self, address: str, pid: int, cores: Cores) -> None:
        self.address, self.pid, self.cores = address, pid, cores
        self.crash: str | None = None
        self.requests = 0
        self.stopped = False

    def exit_reason(self) -> str | None:
        return self.crash

    def unfinished_requests(self) -> int | None:
        return self.requests

    def pin(self, cores: Cores) -> None:
        self.cores = cores

    def stop(self, seconds: float) -> None:
        self.stopped = True


class FakeStarter:
    """Brings up fake engines, or fails with the reason in `broken`."""

    def __init__(self) -> None:
        self.engines: list[FakeEngine] = []
        self.broken: str | None = None

    def __call__(self, slot: str, weights: Weights, cores: Cores, cancelled: Event) -> FakeEngine:
        if self.broken:
            raise SlotFailed(self.broken)
        engine = FakeEngine(f"unix:/{slot}-{len(self.engines)}", 1000 + len(self.engines), cores)
        self.engines.append(engine)
        return engine


class HeldExecutor(Executor):
    """Keeps work until `run`."""

    def __init__(self) -> None:
        self.held: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.held.append((future, lambda: work(*args, **kwargs)))
        return future

    def run(self) -> None:
        held, self.held = self.held, []
        for future, work in held:
            try:
                future.set_result(work())
            except Exception as error:  # noqa: BLE001  an executor hands on whatever its work raises
                future.set_exception(error)


class Yard:
    """A fleet on two cores with fake engines, a clock that is set, and work that runs when told."""

    def __init__(self, warm: float = 600) -> None:
        self.starter, self.executor, self.time = FakeStarter(), HeldExecutor(), 0.0
        groups = CoreGroups(live=(0,), base=(1,), spare=(1,))
        patience = Patience(least=0, most=1, warm=warm, stop=1)
        self.fleet = Fleet(self.starter, "vllm", groups, patience, self.executor, lambda: self.time)

    def settle(self) -> None:
        """Run slow steps and ticks until nothing moves."""
        for _ in range(6):
            self.fleet.tick()
            self.executor.run()
            self.fleet.tick()

    def later(self, seconds: float) -> None:
        self.time += seconds
        self.settle()

    def states(self) -> list[tuple[str, str, str]]:
        """Role, model and state of every slot."""
        return sorted((row.role, row.model, row.state) for row in self.fleet.rows())

    def cores_of(self, model: str) -> list[int]:
        return next(row.cores for row in self.fleet.rows() if row.model == model)
