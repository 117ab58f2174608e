"""Tuned embedders of a workspace: starts their training, and shows the results."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from services.contracts.jobs import ACTIVE, JobKind
from services.database.engine import Sessions
from services.database.tables import Job, TunedEmbedder
from services.domain.jobs import Jobs
from services.gateway.embedders.schemas import EmbedderCreate
from services.gateway.jobs.dispatch import Dispatcher
from services.gateway.stores.stores import Stores
from services.kit.errors import ApiError

TRAINING: JobKind = "embedder_training"


class Embedders:
    def __init__(self, sessions: Sessions, stores: Stores, jobs: Jobs, dispatcher: Dispatcher) -> None:
        self._sessions, self._stores, self._jobs, self._dispatcher = sessions, stores, jobs, dispatcher

    def train(self, workspace_id: str, asked: EmbedderCreate) -> Job:
        """The training that is in progress, or a new one on a store's documents. A workspace has one at a time.

        Raises ApiError 404 if no store is named and there is no default one.
        """
        stores = self._stores.resolve(workspace_id, [asked.vector_store_id] if asked.vector_store_id else None)
        if not stores:
            message = "There is no default vector store; name one."
            raise ApiError(404, message, code="store_not_found", param="vector_store_id")
        for job in self._jobs.list(workspace_id, TRAINING):
            if job.status in ACTIVE:
                return job
        wanted = {"store_id": stores[0], "hyperparameters": asked.hyperparameters()}
        return self._dispatcher.start(workspace_id, TRAINING, wanted)

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
