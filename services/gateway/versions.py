"""Versions of a workspace's weights, as the database knows them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from services.database.engine import Sessions
from services.database.tables import LivePointer, Version
from services.kit.errors import ApiError


class Versions:
    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def list(self, workspace_id: str) -> Sequence[Version]:
        """The newest first."""
        query = select(Version).where(Version.workspace_id == workspace_id).order_by(Version.created_at.desc())
        with self._sessions() as session:
            return session.scalars(query).all()

    def names(self, workspace_id: str) -> dict[str, str]:
        """`ft:` names and the ids of their versions."""
        return {version.name: version.id for version in self.list(workspace_id)}

    def find(self, workspace_id: str, name: str) -> Version:
        """A version by its `ft:` name or its id."""
        for version in self.list(workspace_id):
            if name in (version.name, version.id):
                return version
        raise ApiError(404, f"There is no version '{name}'.", code="version_not_found", param="name")

    def pointer(self, workspace_id: str) -> LivePointer | None:
        with self._sessions() as session:
            return session.get(LivePointer, workspace_id)
