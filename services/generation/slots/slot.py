"""One slot: what it serves, on which cores, and its state."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Event
from typing import Literal

from services.contracts.generation import SlotBody, SlotState
from services.generation.engines.cores import Cores
from services.generation.settings import EngineName
from services.generation.slots.starting import Running, Weights

Role = Literal["base", "live", "spare", "retired"]


class SpareHeld(Exception):
    """Another version is loading into the spare slot, or the spare slot holds it."""


class NotLoaded(Exception):
    """No slot serves this version yet."""


@dataclass
class Slot:
    """The state of one slot; only `Fleet` changes it. Times are of the fleet's clock, in seconds.

    `coming_up` is its start under way, `task` its drain or its stop; setting `cancelled` ends either early.
    """

    name: str
    role: Role
    weights: Weights
    cores: Cores
    state: SlotState = "starting"
    engine: Running | None = None
    error: str | None = None
    coming_up: Future[Running] | None = None
    task: Future[bool] | Future[None] | None = None
    cancelled: Event = field(default_factory=Event)
    began: float = 0.0
    start_seconds: float | None = None
    failures: int = 0
    retry_at: float = 0.0
    warm_until: float = 0.0
    keep_warm: bool = False

    def serves(self, workspace_id: str, version_id: str) -> bool:
        return (self.weights.workspace_id, self.weights.version_id) == (workspace_id, version_id)

    def row(self, engine: EngineName) -> SlotBody:
        """What GET /slots shows of this slot."""
        return SlotBody(
            name=self.name,
            state=self.state,
            engine=engine,
            address=self.engine.address if self.engine else "",
            model=self.weights.model,
            role=self.role,
            workspace_id=self.weights.workspace_id,
            version_id=self.weights.version_id,
            cores=list(self.cores),
            pid=self.engine.pid if self.engine else None,
            error=self.error,
        )

    @property
    def restarts(self) -> bool:
        """Whether it is started again if it fails."""
        return self.role in ("base", "live")

    @property
    def busy(self) -> bool:
        """Whether a slow step is under way."""
        return any(task and not task.done() for task in (self.coming_up, self.task))
