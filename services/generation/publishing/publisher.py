"""Loads, publishes and rolls back: moves the live pointer in the database and the slots together."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from threading import RLock

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.contracts.generation import CanaryEndRequest, CanaryRequest, CanaryShare, PublishResponse, Why
from services.database.engine import Sessions
from services.database.tables import Canary, LivePointer, Publication, Version, now
from services.domain.versions import REMOVED, hold
from services.generation.publishing.canaries import Canaries, CanaryRefused
from services.generation.slots.fleet import Fleet
from services.generation.slots.slot import NotLoaded, SpareHeld
from services.generation.slots.starting import Weights

log = logging.getLogger(__name__)


class UnknownVersion(Exception):
    """This workspace has no such version, or its weights no longer exist."""


class NothingToRollBackTo(Exception):
    """The workspace has no previous version."""


@dataclass(frozen=True)
class Order:
    """Who moves a live pointer and why, for the history."""

    why: Why = "person"
    by: str | None = None
    reason: str = ""
    overrides: bool = False


class Publisher:
    """Moves live pointers; in a platform only this service does.

    Every method names the workspace; a version of another workspace is unknown to it. Safe to call from several
    threads.
    """

    def __init__(self, sessions: Sessions, fleet: Fleet, versions_folder: Path) -> None:
        self._sessions, self._fleet, self._versions_folder = sessions, fleet, versions_folder
        self._canaries = Canaries(sessions, fleet)
        self._pending: dict[str, tuple[str, Order]] = {}
        self._lock = RLock()
        self.moves = 0

    def reconcile(self) -> None:
        """Start what the live pointers name and continue the canary: after a cold start the same is served as
        before."""
        with self._sessions() as session:
            pointers = list(session.scalars(select(LivePointer).where(LivePointer.version_id.is_not(None))))
        for pointer in pointers:
            try:
                self._fleet.serve_live(self._weights(pointer.workspace_id, str(pointer.version_id)))
            except UnknownVersion as error:
                log.error("the live pointer of workspace %s: %s", pointer.workspace_id, error)
        for canary in self._canaries.unfinished():
            self._resume(canary)

    def _resume(self, canary: Canary) -> None:
        try:
            self._fleet.load(self._weights(canary.workspace_id, canary.version_id))
        except (UnknownVersion, SpareHeld) as error:
            reason = f"It could not go on after a restart: {error}"
            ended = CanaryEndRequest(workspace_id=canary.workspace_id, why="canary", reason=reason)
            self._canaries.close(canary.id, ended)
        else:
            self._canaries.resume(canary)

    def load(self, workspace_id: str, version_id: str, replace: bool = False) -> None:
        """Start a version in the spare slot; returns at once. Raises UnknownVersion, SpareHeld."""
        self._fleet.load(self._weights(workspace_id, version_id), replace)

    def unload(self, workspace_id: str, version_id: str) -> None:
        self._fleet.unload(workspace_id, version_id)

    def publish(self, workspace_id: str, version_id: str, order: Order | None = None) -> PublishResponse:
        """Make a loaded version live. Publishing the live version again changes nothing.

        Raises UnknownVersion, and NotLoaded if no slot serves the version.
        """
        with self._lock:
            self._weights(workspace_id, version_id)
            return self._move(workspace_id, version_id, order or Order())

    def roll_back(self, workspace_id: str, order: Order | None = None) -> PublishResponse | None:
        """Make the previous version live: now if a slot still serves it, else when it is loaded (None).

        From a workspace's first version, a rollback leads to the base weights. Raises NothingToRollBackTo.
        """
        order = replace(order or Order(), why="rollback")
        with self._lock:
            previous = self._previous(workspace_id)
            if previous is None:
                return self._move(workspace_id, None, order)
            if self._fleet.loaded(workspace_id, previous):
                return self.publish(workspace_id, previous, order)
            weights = self._weights(workspace_id, previous)
            if not self._fleet.coming(workspace_id, previous):
                self._fleet.free_spare()  # who rolls back has users on bad weights; a candidate can be loaded again
                self._fleet.load(weights)
            self._pending[workspace_id] = previous, order
            return None

    def finish_rollbacks(self) -> None:
        """Publish the rollbacks whose version is now loaded; forget those whose load failed or was cancelled.

        A forgotten rollback must not happen when somebody loads that version later, for example for a comparison.
        """
        with self._lock:
            for workspace_id, (version_id, order) in list(self._pending.items()):
                if self._fleet.loaded(workspace_id, version_id):
                    self.publish(workspace_id, version_id, order)
                    log.info("workspace %s is rolled back to %s", workspace_id, version_id)
                elif not self._fleet.coming(workspace_id, version_id):
                    del self._pending[workspace_id]
                    log.error("workspace %s is not rolled back: %s could not be loaded", workspace_id, version_id)

    def start_canary(self, asked: CanaryRequest) -> None:
        """Load a version into the spare slot and, when it is ready, give it a share of the questions.

        Raises UnknownVersion, SpareHeld, and CanaryRefused if nothing is live to compare it with, if it is live itself,
        or if another canary runs.
        """
        with self._lock:
            live = self._pointer(asked.workspace_id)[0]
            if live is None:
                raise CanaryRefused("No version is live, so there is none to compare with; publish this one instead.")
            if live == asked.version_id:
                raise CanaryRefused("The version is live already; every question is answered by it.")
            self._canaries.check_free()
            self._fleet.load(self._weights(asked.workspace_id, asked.version_id), asked.replace)
            self._canaries.start(asked, live)

    def end_canary(self, asked: CanaryEndRequest) -> bool:
        """False if the workspace has no such canary."""
        with self._lock:
            return self._canaries.end(asked)

    def watch_canaries(self) -> None:
        """End the canaries whose slot failed, or was given to something else."""
        with self._lock:
            self._canaries.watch()

    def canaries(self) -> dict[str, CanaryShare]:
        """The running ones by workspace; the slot of one may still be loading."""
        return self._canaries.running()

    def _move(self, workspace_id: str, version_id: str | None, order: Order) -> PublishResponse:
        """Move pointer and slots, and end the canary: the version it was compared with is no longer live. None is the
        base weights.
        """
        begin = time.perf_counter()
        moved, previous = self._move_pointer(workspace_id, version_id, order)
        if moved:
            if version_id is None:
                self._fleet.withdraw(workspace_id)
            else:
                self._fleet.promote(workspace_id, version_id)
            self.moves += 1
            reason = f"The live version became {version_id or 'the base weights'}."
            self._canaries.end(CanaryEndRequest(workspace_id=workspace_id, why=order.why, by=order.by, reason=reason))
        self._pending.pop(workspace_id, None)
        moved_ms = (time.perf_counter() - begin) * 1000
        return PublishResponse(version_id=version_id, previous_version_id=previous, moved_ms=moved_ms)

    def _move_pointer(self, workspace_id: str, version_id: str | None, order: Order) -> tuple[bool, str | None]:
        """Whether it moved, and the version before; in one transaction with the history."""
        with self._sessions.begin() as session:
            hold(session, workspace_id)
            pointer = session.get(LivePointer, workspace_id)
            if pointer is None:
                pointer = LivePointer(workspace_id=workspace_id, version_id=None, previous_version_id=None)
                session.add(pointer)
            if pointer.version_id == version_id:
                return False, pointer.previous_version_id
            if version_id is not None:
                self._mark_published(session, workspace_id, version_id)
            pointer.previous_version_id, pointer.version_id = pointer.version_id, version_id
            pointer.moved_at = now()
            session.add(
                Publication(
                    workspace_id=workspace_id,
                    event="moved",
                    version_id=version_id,
                    from_version_id=pointer.previous_version_id,
                    why=order.why,
                    by=order.by,
                    overrides=order.overrides,
                    reason=order.reason,
                )
            )
            return True, pointer.previous_version_id

    def _mark_published(self, session: Session, workspace_id: str, version_id: str) -> None:
        version = session.get_one(Version, version_id)
        if version.status == REMOVED:
            raise UnknownVersion(f"The version {version_id} was removed a moment ago.")
        if not self._fleet.loaded(workspace_id, version_id):
            raise NotLoaded(f"No slot serves the version {version_id}; load it first and wait until it is ready.")
        version.status = "published"

    def _pointer(self, workspace_id: str) -> tuple[str | None, str | None]:
        """The live version and the one before."""
        with self._sessions() as session:
            pointer = session.get(LivePointer, workspace_id)
        return (pointer.version_id, pointer.previous_version_id) if pointer else (None, None)

    def _previous(self, workspace_id: str) -> str | None:
        live, previous = self._pointer(workspace_id)
        if previous is None and (live is None or not self._fleet.has_base()):
            raise NothingToRollBackTo(
                f"The workspace {workspace_id} has nothing before what is live; publish a version instead."
            )
        return previous

    def _weights(self, workspace_id: str, version_id: str) -> Weights:
        with self._sessions() as session:
            version = session.get(Version, version_id)
        if version is None or version.workspace_id != workspace_id or version.status == REMOVED:
            raise UnknownVersion(f"The workspace {workspace_id} has no version {version_id}.")
        return Weights(self._versions_folder / version.path, workspace_id, version_id)
