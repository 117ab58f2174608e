"""A version that the spare slot serves to a share of a workspace's questions, until it is ended.

The row in the database outlives this service; which canary runs is also kept here, for the routing table. Gateways
count answers and errors into the row and say when to end the canary. Whatever takes its slot away also ends it.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence

from sqlalchemy import select, update

from services.contracts.generation import CanaryEndRequest, CanaryRequest, CanaryShare, SlotBody
from services.database.engine import Sessions
from services.database.tables import Canary, Publication, now
from services.generation.slots.fleet import Fleet

log = logging.getLogger(__name__)
FIGURES = ("share", "answers", "errors", "live_answers", "live_errors")


class CanaryRefused(Exception):
    """The version cannot be a canary now; the message says why."""


class Canaries:
    """The canaries of all workspaces: at most one, since there is one spare slot. Its `Publisher` holds the lock."""

    def __init__(self, sessions: Sessions, fleet: Fleet) -> None:
        self._sessions, self._fleet = sessions, fleet
        self._running: dict[str, CanaryShare] = {}

    def running(self) -> dict[str, CanaryShare]:
        """By workspace."""
        return self._running

    def unfinished(self) -> Sequence[Canary]:
        """The canaries that ran when this service ended, the newest first."""
        with self._sessions() as session:
            query = select(Canary).where(Canary.ended_at.is_(None)).order_by(Canary.created_at.desc())
            return session.scalars(query).all()

    def check_free(self) -> None:
        """Raises CanaryRefused if a canary has the spare slot."""
        for canary in self._running.values():
            raise CanaryRefused(f"The spare slot serves the canary {canary.version_id}; end that first.")

    def start(self, asked: CanaryRequest, live: str) -> None:
        """Record a canary whose version the spare slot is loading."""
        row = Canary(
            id=f"canary-{secrets.token_hex(8)}",
            workspace_id=asked.workspace_id,
            version_id=asked.version_id,
            share=asked.share,
            margin=asked.margin,
            min_requests=asked.min_requests,
            promote_after=asked.promote_after,
        )
        event = Publication(
            workspace_id=asked.workspace_id,
            event="canary_started",
            version_id=asked.version_id,
            from_version_id=live,
            why="person",
            by=asked.by,
            overrides=asked.overrides,
            reason=asked.reason,
            figures={"share": asked.share},
        )
        with self._sessions.begin() as session:
            session.add_all([row, event])
        self.resume(row)

    def resume(self, row: Canary) -> None:
        """Route the share of a recorded canary to its slot, as soon as the slot is ready."""
        share = CanaryShare(id=row.id, version_id=row.version_id, share=row.share)
        self._running = {**self._running, row.workspace_id: share}

    def end(self, asked: CanaryEndRequest) -> bool:
        """End a workspace's canary and write its figures into the history; False if it has no such canary."""
        canary = self._running.get(asked.workspace_id)
        if canary is None or asked.canary_id not in (None, canary.id):
            return False
        self._running = {key: value for key, value in self._running.items() if key != asked.workspace_id}
        self.close(canary.id, asked)
        self._fleet.unload(asked.workspace_id, canary.version_id)
        return True

    def close(self, canary_id: str, asked: CanaryEndRequest) -> None:
        """Record the end of a canary, once."""
        with self._sessions.begin() as session:
            open_row = update(Canary).where(Canary.id == canary_id, Canary.ended_at.is_(None))
            if session.execute(open_row.values(ended_at=now())).rowcount == 0:  # type: ignore[attr-defined]
                return
            row = session.get_one(Canary, canary_id)
            session.add(
                Publication(
                    workspace_id=row.workspace_id,
                    event="canary_ended",
                    version_id=row.version_id,
                    from_version_id=None,
                    why=asked.why,
                    by=asked.by,
                    reason=asked.reason,
                    figures={name: getattr(row, name) for name in FIGURES},
                )
            )
        log.info("the canary %s has ended: %s", row.version_id, asked.reason)

    def watch(self) -> None:
        """End the canaries whose slot failed, or was given to something else."""
        for workspace_id, canary in self._running.items():
            slot = self._slot(workspace_id, canary.version_id)
            if slot is None:
                self._lost(workspace_id, "The spare slot was needed for something else: an evaluation or a publish.")
            elif slot.state == "failed":
                self._lost(workspace_id, f"Its slot failed: {slot.error}")

    def _lost(self, workspace_id: str, reason: str) -> None:
        self.end(CanaryEndRequest(workspace_id=workspace_id, why="canary", reason=reason))

    def _slot(self, workspace_id: str, version_id: str) -> SlotBody | None:
        spares = (row for row in self._fleet.rows() if row.role == "spare" and row.state != "stopped")
        return next((row for row in spares if (row.workspace_id, row.version_id) == (workspace_id, version_id)), None)
