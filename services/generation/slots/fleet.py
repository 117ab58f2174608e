"""The slots: which engines run, in which state, and how each gets from one state to the next.

    starting ──> ready ──> draining ──> stopped         a spare that is unloaded or replaced, a retired slot
        ^          │           └──> ready (retired)     stays warm, then is stopped
        └─ failed <┘                                    base and live are started again, a spare is not

Slow steps (starting, draining, stopping) run in an executor; `tick` looks at what has finished and moves slots on.
Nothing else changes a state, but for the commands of `Fleet`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from threading import Event, RLock
from typing import Any

from services.contracts.generation import SlotBody
from services.generation.engines.cores import CoreGroups, Cores
from services.generation.settings import EngineName
from services.generation.slots.draining import Patience, drain
from services.generation.slots.slot import NotLoaded, Role, Slot, SpareHeld
from services.generation.slots.starting import BringUp, Running, Weights

log = logging.getLogger(__name__)

LONGEST_BACKOFF_SECONDS = 60.0
Clock = Callable[[], float]


class Fleet:
    """All slots of this machine: base, one live slot for each workspace, at most one spare, and the retired slots.

    Safe to call from several threads. `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        bring_up: BringUp,
        engine: EngineName,
        groups: CoreGroups,
        patience: Patience,
        executor: Executor,
        clock: Clock = time.monotonic,
    ) -> None:
        self._bring_up, self._engine_name, self._groups = bring_up, engine, groups
        self._patience, self._executor, self._clock = patience, executor, clock
        self._slots: list[Slot] = []
        self._lock = RLock()
        self._closing = False
        self.failures = 0

    # Commands

    def serve_base(self, weights: Weights) -> None:
        self._add("base", weights, self._groups.base)

    def serve_live(self, weights: Weights) -> None:
        """Start a workspace's live slot, as the live pointer says."""
        self._add("live", weights, self._groups.live)

    def load(self, weights: Weights, replace: bool = False) -> None:
        """Make the spare serve these weights; harmless if a slot does already.

        Raises SpareHeld if the spare is loading another version, or holds one and `replace` is not set.
        """
        with self._lock:
            if self._keep_loaded(weights):
                return
            spare = self._find("spare")
            if spare and spare.state == "starting":
                raise SpareHeld(f"The spare slot is loading {spare.weights.version_id}; wait, or unload that first.")
            if spare and spare.state != "failed" and not replace:
                raise SpareHeld(f"The spare slot holds {spare.weights.version_id}; unload it, or send `replace`.")
            for slot in self._in_the_way():
                self._give_up(slot)
            self._add("spare", weights, self._groups.spare if self._find("live") else self._groups.live)

    def unload(self, workspace_id: str, version_id: str) -> None:
        """Stop the spare that holds this version, after it has answered its requests; harmless if there is none."""
        with self._lock:
            spare = self._find("spare")
            if spare and spare.serves(workspace_id, version_id):
                self._give_up(spare)

    def free_spare(self) -> None:
        """Stop whatever version the spare is loading or holds."""
        with self._lock:
            spare = self._find("spare")
            if spare:
                self._give_up(spare)

    def loaded(self, workspace_id: str, version_id: str) -> bool:
        """Whether `promote` would make this version live at once."""
        with self._lock:
            return self._promotable(workspace_id, version_id) is not None

    def has_base(self) -> bool:
        """Whether there is a slot for the base weights."""
        with self._lock:
            return self._find("base") is not None

    def coming(self, workspace_id: str, version_id: str) -> bool:
        """Whether a slot is starting with this version."""
        with self._lock:
            return any(slot.state == "starting" and slot.serves(workspace_id, version_id) for slot in self._slots)

    def promote(self, workspace_id: str, version_id: str) -> None:
        """Make the slot that serves this version the workspace's live one; the former live slot drains and stays warm.

        Raises NotLoaded if no slot serves it.
        """
        with self._lock:
            slot = self._promotable(workspace_id, version_id)
            if slot is None:
                raise NotLoaded(f"No slot serves the version {version_id}; load it first and wait until it is ready.")
            if slot.role == "live":
                return
            former = self._live_of(workspace_id)
            self._stop_waiting(slot)
            slot.role, slot.state = "live", "ready"
            self._pin(slot, self._groups.live)
            if former:
                self._keep_warm(former)
                self._pin(former, self._groups.spare)

    def withdraw(self, workspace_id: str) -> None:
        """Take a workspace's live slot out of service: it drains, and stays warm for a rollback."""
        with self._lock:
            former = self._live_of(workspace_id)
            if former:
                self._keep_warm(former)
                self._pin(former, self._groups.spare)

    def stop_all(self) -> None:
        """Stop every engine; returns when all are gone, at most a little later than the time allowed for a stop."""
        with self._lock:
            self._closing = True
            for slot in self._slots:
                if slot.engine is None:
                    self._drop(slot)
                elif slot.state != "stopped":
                    self._stop(slot)
            tasks: list[Future[Any]] = [task for slot in self._slots for task in (slot.coming_up, slot.task) if task]
        wait(tasks, timeout=self._patience.stop + 5)

    def tick(self) -> None:
        """Advance every slot whose step has finished, whose engine has died, or whose time has come."""
        with self._lock:
            if not self._closing:
                for slot in list(self._slots):
                    self._advance(slot)

    # Views

    def rows(self) -> list[SlotBody]:
        """What GET /slots shows."""
        with self._lock:
            return [slot.row(self._engine_name) for slot in self._slots]

    def start_seconds(self) -> dict[str, float]:
        """How long the last start of each slot took."""
        with self._lock:
            return {slot.name: slot.start_seconds for slot in self._slots if slot.start_seconds is not None}

    # Steps of one slot

    def _advance(self, slot: Slot) -> None:
        match slot.state:
            case "starting":
                self._advance_start(slot)
            case "ready":
                self._watch(slot)
            case "draining":
                self._advance_drain(slot)
            case "failed" if slot.restarts and self._clock() >= slot.retry_at:
                slot.state = "starting"
            case "stopped" if not slot.busy:
                self._slots.remove(slot)

    def _advance_start(self, slot: Slot) -> None:
        if slot.coming_up is None:
            if not self._must_wait(slot):
                slot.began, slot.cancelled = self._clock(), Event()
                arguments = (slot.name, slot.weights, slot.cores, slot.cancelled)
                slot.coming_up = self._executor.submit(self._bring_up, *arguments)
        elif slot.coming_up.done():
            outcome, slot.coming_up = slot.coming_up, None
            try:
                slot.engine = outcome.result()
            except Exception as error:  # noqa: BLE001  whatever stops a start, its slot says it and the others go on
                self._fail(slot, str(error) or repr(error))
            else:
                self._came_up(slot)

    def _came_up(self, slot: Slot) -> None:
        slot.state, slot.error, slot.failures = "ready", None, 0
        slot.start_seconds = self._clock() - slot.began
        log.info("slot %s serves %s after %.1f s", slot.name, slot.weights.model, slot.start_seconds)

    def _watch(self, slot: Slot) -> None:
        reason = slot.engine.exit_reason() if slot.engine else "The engine is gone."
        if reason:
            self._fail(slot, reason)
        elif slot.role == "retired" and self._clock() >= slot.warm_until:
            self._stop(slot)

    def _advance_drain(self, slot: Slot) -> None:
        if slot.engine and slot.engine.exit_reason():
            self._stop(slot)
        elif slot.task and slot.task.done():
            slot.task = None
            if slot.keep_warm:
                slot.state, slot.warm_until = "ready", self._clock() + self._patience.warm
            else:
                self._stop(slot)

    def _fail(self, slot: Slot, reason: str) -> None:
        log.warning("slot %s (%s, %s) failed: %s", slot.name, slot.role, slot.weights.model, reason)
        slot.state, slot.error = "failed", reason
        if slot.engine:
            slot.engine.stop(0.1)  # it has ended already; this only frees its pipe
            slot.engine = None
        slot.retry_at = self._clock() + min(2.0**slot.failures, LONGEST_BACKOFF_SECONDS)
        slot.failures += 1
        self.failures += 1
        if slot.role == "retired":
            self._slots.remove(slot)

    def _keep_warm(self, slot: Slot) -> None:
        """Retire a slot; after it has finished its requests, it stays ready for a rollback."""
        slot.keep_warm = True
        self._retire(slot)

    def _retire(self, slot: Slot) -> None:
        """Take a slot out of the routing table; it finishes its requests."""
        slot.role = "retired"
        if slot.engine is None:
            self._drop(slot)
            return
        if slot.state == "ready":
            slot.state, slot.cancelled = "draining", Event()
            slot.task = self._executor.submit(drain, slot.engine, self._patience, slot.cancelled)

    def _give_up(self, slot: Slot) -> None:
        """Stop a spare or retired slot: at once if it answers nobody, else after it has finished its requests."""
        if slot.role == "retired" and slot.state == "ready":
            self._stop(slot)
        else:
            slot.keep_warm = False
            self._retire(slot)

    def _drop(self, slot: Slot) -> None:
        """Forget a slot that has no engine yet; if an engine starts nevertheless, it is stopped."""
        slot.cancelled.set()
        slot.state = "stopped"
        if slot.coming_up:
            slot.coming_up.add_done_callback(self._stop_unwanted)

    def _stop_unwanted(self, outcome: Future[Running]) -> None:
        if outcome.exception() is None:
            outcome.result().stop(self._patience.stop)

    def _stop(self, slot: Slot) -> None:
        assert slot.engine is not None
        slot.cancelled.set()
        slot.state = "stopped"
        slot.task = self._executor.submit(slot.engine.stop, self._patience.stop)

    # Finding and placing

    def _add(self, role: Role, weights: Weights, cores: Cores) -> None:
        with self._lock:
            self._slots.append(Slot(self._free_name(role), role, weights, cores))

    def _free_name(self, role: Role) -> str:
        taken = {slot.name for slot in self._slots}
        if role == "base":
            return "base"
        return next(name for number in range(1, 1000) if (name := f"slot-{number}") not in taken)

    def _find(self, role: Role) -> Slot | None:
        return next((slot for slot in self._slots if slot.role == role and slot.state != "stopped"), None)

    def _live_of(self, workspace_id: str) -> Slot | None:
        alive = (slot for slot in self._slots if slot.role == "live")
        return next((slot for slot in alive if slot.weights.workspace_id == workspace_id), None)

    def _promotable(self, workspace_id: str, version_id: str) -> Slot | None:
        fit = (slot for slot in self._slots if slot.engine and slot.state in ("ready", "draining"))
        return next((slot for slot in fit if slot.serves(workspace_id, version_id)), None)

    def _keep_loaded(self, weights: Weights) -> bool:
        """Whether a slot has these weights already; a retired one becomes the spare again if there is no spare."""
        for slot in self._slots:
            if slot.weights != weights or slot.state in ("failed", "stopped"):
                continue
            if slot.role == "retired":
                if self._find("spare"):
                    return False
                self._stop_waiting(slot)
                slot.role, slot.state = "spare", "ready"
            return True
        return False

    def _in_the_way(self) -> list[Slot]:
        """Slots whose memory the next spare needs."""
        return [slot for slot in self._slots if slot.role in ("spare", "retired") and slot.state != "stopped"]

    def _must_wait(self, slot: Slot) -> bool:
        """A spare starts only when the slots that were in its way are gone: a small machine has no memory for more."""
        if slot.role != "spare":
            return False
        return any(other.role in ("spare", "retired") for other in self._slots if other is not slot)

    def _stop_waiting(self, slot: Slot) -> None:
        """End a drain under way early: the slot is needed again."""
        slot.cancelled.set()
        slot.task, slot.keep_warm = None, False

    def _pin(self, slot: Slot, cores: Cores) -> None:
        slot.cores = cores
        if slot.engine:
            slot.engine.pin(cores)
