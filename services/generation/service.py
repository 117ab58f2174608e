"""The parts of the generation service: engine, slots, live pointers, and the threads that drive them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from services.contracts.generation import RoutingTable
from services.database.engine import open_sessions
from services.generation.engines.cores import allowed_cores, divide
from services.generation.engines.engine import Engine
from services.generation.engines.transformers_engine import TransformersEngine
from services.generation.engines.vllm_engine import VllmEngine
from services.generation.publishing.publisher import Publisher
from services.generation.settings import GenerationSettings
from services.generation.slots.draining import Patience
from services.generation.slots.fleet import Fleet
from services.generation.slots.routing import RoutingTables
from services.generation.slots.starting import EngineStarter, Weights
from services.kit.settings import Platform
from training.errors import TrainingError
from training.weights.base import materialize

log = logging.getLogger(__name__)

SLOW_STEPS_AT_ONCE = 16


class Generation:
    """Owns the slots of one platform. `start` begins, `stop` ends; in between it needs no calls to make progress."""

    def __init__(self, platform: Platform, settings: GenerationSettings) -> None:
        self.platform, self.settings = platform, settings
        engine = choose_engine(platform, settings)
        patience = Patience(
            settings.drain_least_seconds,
            settings.drain_timeout_seconds,
            settings.warm_seconds,
            settings.stop_timeout_seconds,
        )
        starter = EngineStarter(
            engine, platform.log_folder, settings.start_timeout_seconds, settings.stop_timeout_seconds
        )
        self._executor = ThreadPoolExecutor(SLOW_STEPS_AT_ONCE, thread_name_prefix="slot")
        groups = divide(allowed_cores(), settings.serve_base)
        self.fleet = Fleet(starter, engine.name, groups, patience, self._executor)
        self.publisher = Publisher(open_sessions(platform.database_url), self.fleet, platform.versions_folder)
        self._tables = RoutingTables()
        self._preparing: str | None = "preparing base weights" if settings.serve_base else None
        self._ending = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start what the live pointers name and the base slot; returns at once."""
        self.publisher.reconcile()
        if self.settings.serve_base:
            self._spawn(self._prepare_base)
        self._spawn(self._keep_moving)

    def stop(self) -> None:
        """Stop every slot; after `stop_timeout_seconds` they are killed."""
        self._ending.set()
        self.fleet.stop_all()
        for thread in self._threads:
            thread.join(timeout=1)
        self._executor.shutdown(wait=False, cancel_futures=True)

    def table(self) -> RoutingTable:
        return self._tables.current(self.fleet.rows(), self.publisher.canaries())

    def missing(self) -> list[str]:
        """What keeps the service from being ready, in words; empty if base (if served) and all live slots answer."""
        reasons = [self._preparing] if self._preparing else []
        for row in self.fleet.rows():
            if row.role in ("base", "live") and row.state != "ready":
                why = f": {row.error}" if row.error else ""
                reasons.append(f"the {row.role} slot {row.name} ({row.model}) is {row.state}{why}")
        return reasons

    def _prepare_base(self) -> None:
        try:
            folder = materialize(self.platform.base_model, self.platform.models_folder)
        except (TrainingError, OSError) as error:
            log.error("no base weights: %s", error)
            self._preparing = f"no base weights: {error}"
            return
        self.fleet.serve_base(Weights(folder))
        self._preparing = None

    def _keep_moving(self) -> None:
        while not self._ending.wait(self.settings.tick_seconds):
            try:
                self.fleet.tick()
                self.publisher.finish_rollbacks()
                self.publisher.watch_canaries()
            except Exception:  # the edge of this thread: slots go on moving while, say, the database is away
                log.exception("a step of the slots failed; trying again")

    def _spawn(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        self._threads.append(thread)


def choose_engine(platform: Platform, settings: GenerationSettings) -> Engine:
    """The engine that the settings name, or one that this machine can run."""
    folder = platform.run_folder / "slots"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    if settings.chosen_engine() == "vllm":
        return VllmEngine(settings, folder, settings.chosen_device())
    return TransformersEngine(folder, settings.chosen_device())
