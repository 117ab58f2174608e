"""Loading, publishing and rolling back: the live pointer in the database and the slots, moved together."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from threading import RLock

from sqlalchemy import select

from services.contracts.generation import PublishResponse
from services.database.engine import Sessions
from services.database.tables import LivePointer, Version, now
from services.generation.slot import NotLoaded
from services.generation.slots import Fleet
from services.generation.starting import Weights

log = logging.getLogger(__name__)


class UnknownVersion(Exception):
    """No such version in this workspace."""


class NothingToRollBackTo(Exception):
    """The workspace has no previous version."""


class Publisher:
    """Moves live pointers; in a platform this service alone does.

    Every method names the workspace, and to it a version of another workspace is unknown. Safe to call from several
    threads.
    """

    def __init__(self, sessions: Sessions, fleet: Fleet, versions_folder: Path) -> None:
        self._sessions, self._fleet, self._versions_folder = sessions, fleet, versions_folder
        self._pending: dict[str, str] = {}
        self._lock = RLock()
        self.moves = 0

    def reconcile(self) -> None:
        """Start what the live pointers say: a cold start serves the same versions as before."""
        with self._sessions() as session:
            pointers = list(session.scalars(select(LivePointer).where(LivePointer.version_id.is_not(None))))
        for pointer in pointers:
            try:
                self._fleet.serve_live(self._weights(pointer.workspace_id, str(pointer.version_id)))
            except UnknownVersion as error:
                log.error("the live pointer of workspace %s: %s", pointer.workspace_id, error)

    def load(self, workspace_id: str, version_id: str, replace: bool = False) -> None:
        """Start a version in the spare slot; returns at once. Raises UnknownVersion, SpareHeld."""
        self._fleet.load(self._weights(workspace_id, version_id), replace)

    def unload(self, workspace_id: str, version_id: str) -> None:
        self._fleet.unload(workspace_id, version_id)

    def publish(self, workspace_id: str, version_id: str) -> PublishResponse:
        """Make a loaded version live. Publishing the live version again changes nothing.

        Raises UnknownVersion, and NotLoaded where no slot serves the version.
        """
        with self._lock:
            begin = time.perf_counter()
            self._weights(workspace_id, version_id)
            previous = self._move(workspace_id, version_id)
            self._pending.pop(workspace_id, None)
            moved_ms = (time.perf_counter() - begin) * 1000
            return PublishResponse(version_id=version_id, previous_version_id=previous, moved_ms=moved_ms)

    def roll_back(self, workspace_id: str) -> PublishResponse | None:
        """Make the previous version live: now where a slot still serves it, else once it is loaded (None).

        Raises NothingToRollBackTo.
        """
        with self._lock:
            previous = self._previous(workspace_id)
            if self._fleet.loaded(workspace_id, previous):
                return self.publish(workspace_id, previous)
            weights = self._weights(workspace_id, previous)
            if not self._fleet.coming(workspace_id, previous):
                self._fleet.free_spare()  # who rolls back has users on bad weights; a candidate can be loaded again
                self._fleet.load(weights)
            self._pending[workspace_id] = previous
            return None

    def finish_rollbacks(self) -> None:
        """Publish the rollbacks whose version is loaded by now; forget those whose load failed or was given up.

        A forgotten one must not come true when somebody loads that version later, for a comparison say.
        """
        with self._lock:
            for workspace_id, version_id in list(self._pending.items()):
                if self._fleet.loaded(workspace_id, version_id):
                    self.publish(workspace_id, version_id)
                    log.info("workspace %s is rolled back to %s", workspace_id, version_id)
                elif not self._fleet.coming(workspace_id, version_id):
                    del self._pending[workspace_id]
                    log.error("workspace %s is not rolled back: %s could not be loaded", workspace_id, version_id)

    def _move(self, workspace_id: str, version_id: str) -> str | None:
        """Move pointer and slots; returns the version that was live before. The pointer moves in one transaction."""
        with self._sessions.begin() as session:
            pointer = session.get(LivePointer, workspace_id, with_for_update=True)
            if pointer is None:
                pointer = LivePointer(workspace_id=workspace_id, version_id=None, previous_version_id=None)
                session.add(pointer)
            if pointer.version_id == version_id:
                return pointer.previous_version_id
            if not self._fleet.loaded(workspace_id, version_id):
                raise NotLoaded(f"No slot serves the version {version_id}; load it first and wait until it is ready.")
            pointer.previous_version_id, pointer.version_id = pointer.version_id, version_id
            pointer.moved_at = now()
            session.get_one(Version, version_id).status = "published"
            previous = pointer.previous_version_id
        self._fleet.promote(workspace_id, version_id)
        self.moves += 1
        return previous

    def _previous(self, workspace_id: str) -> str:
        with self._sessions() as session:
            pointer = session.get(LivePointer, workspace_id)
        if pointer is None or pointer.previous_version_id is None:
            raise NothingToRollBackTo(
                f"The workspace {workspace_id} has no version before the live one; publish a version instead."
            )
        return pointer.previous_version_id

    def _weights(self, workspace_id: str, version_id: str) -> Weights:
        with self._sessions() as session:
            version = session.get(Version, version_id)
        if version is None or version.workspace_id != workspace_id:
            raise UnknownVersion(f"The workspace {workspace_id} has no version {version_id}.")
        return Weights(self._versions_folder / version.path, workspace_id, version_id)
