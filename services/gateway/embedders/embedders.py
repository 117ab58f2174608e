"""Tuned embedders of a workspace, as the database knows them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from services.database.engine import Sessions
from services.database.tables import TunedEmbedder
from services.kit.errors import ApiError


class Embedders:
    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def list(self, workspace_id: str) -> Sequence[TunedEmbedder]:
        """The newest first."""
        query = select(TunedEmbedder).where(TunedEmbedder.workspace_id == workspace_id)
        with self._sessions() as session:
            return session.scalars(query.order_by(TunedEmbedder.created_at.desc())).all()

    def find(self, workspace_id: str, embedder_id: str) -> TunedEmbedder:
        mine = TunedEmbedder.id == embedder_id, TunedEmbedder.workspace_id == workspace_id
        with self._sessions() as session:
            found = session.scalar(select(TunedEmbedder).where(*mine))
        if found is None:
            raise ApiError(404, f"There is no embedder '{embedder_id}'.", code="embedder_not_found", param="id")
        return found
