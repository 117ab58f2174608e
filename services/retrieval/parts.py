"""The service's parts, made once."""

from __future__ import annotations

from typing import Literal

from retrieval.errors import EmbedderMismatch
from retrieval.index.port import CollectionRef, IndexEngine
from retrieval.index.recipe import named, sparse_of
from retrieval.search.reranking import Reranker
from services.contracts.retrieval import (
    CollectionBody,
    CollectionsResponse,
    EmbeddingRequest,
    EmbeddingResponse,
)
from services.database.engine import Sessions
from services.database.tables import Collection
from services.retrieval.index.catalog import Catalog, EmbedderName
from services.retrieval.index.collections import OpenCollections
from services.retrieval.index.points import Points
from services.retrieval.index.soundness import Soundness
from services.retrieval.index.tidying import Tidying
from services.retrieval.metrics import Metrics
from services.retrieval.reindexing.recall import RecallCheck
from services.retrieval.reindexing.switching import Switching
from services.retrieval.search.answers import Answers
from services.retrieval.search.embedders import Embedders
from services.retrieval.search.searchers import Searchers
from services.retrieval.settings import RetrievalSettings

Status = Literal["ready", "empty", "damaged", "embedder_mismatch"]


class Parts:
    """What the routes call."""

    def __init__(
        self,
        sessions: Sessions,
        engine: IndexEngine,
        embedders: Embedders,
        settings: RetrievalSettings,
        reranker: Reranker | None = None,
    ) -> None:
        embedder = embedders.current
        self.embedder, self._embedders = embedder, embedders
        self.embedded = engine.embedded
        self.metrics = Metrics()
        self.catalog = Catalog(sessions)
        self.collections = OpenCollections(engine, embedder.dimension, settings.max_open_collections)
        self.points = Points(self.catalog, self.collections, EmbedderName(embedder.name, embedder.dimension))
        searchers = Searchers(embedders, settings.search(), reranker)
        recall = RecallCheck(sessions, self.catalog, self.collections, searchers)
        self.switching = Switching(self.catalog, self.collections, recall)
        self.answers = Answers(self.catalog, self.collections, searchers)
        self.tidying = Tidying(engine, self.catalog, self.collections)
        self.soundness = Soundness(self.catalog, self.collections)

    def embed(self, request: EmbeddingRequest) -> EmbeddingResponse:
        vectors = self.embedder.embed(request.texts)
        return EmbeddingResponse(
            model=self.embedder.name,
            vectors=[list(vector) for vector in vectors],
            tokens=sum(self.embedder.count_tokens(text) for text in request.texts),
        )

    def readiness(self) -> dict[str, str]:
        """Ready as long as the database answers; `detail` says what an operator should check."""
        damaged, other = self.catalog.problems(self.embedder.name)
        words = [f"{damaged} damaged"] if damaged else []
        words += [f"{other} made with another embedder than {self.embedder.name}"] if other else []
        state = {"status": "ready", "embedder": self.embedder.name}
        return {**state, "detail": f"collections to reindex: {', '.join(words)}"} if words else state

    def overview(self, workspace_id: str, store_id: str) -> CollectionsResponse:
        """A store's builds; the live one with its count, unless it is damaged."""
        live_id, previous_id, rows = self.catalog.collections(workspace_id, store_id)
        live = next((row for row in rows if row.id == live_id), None)
        count = 0
        if live is not None and live.problem is None:
            with self.collections.use(CollectionRef(workspace_id, store_id, live.id)) as index:
                count = index.count()
        status, detail = self._status(live)
        return CollectionsResponse(
            live_id=live_id,
            previous_id=previous_id,
            count=count,
            collections=[_collection_body(row, count if row.id == live_id else None) for row in rows],
            embedder=self.embedder.name,
            status=status,
            detail=detail,
        )

    def _status(self, live: Collection | None) -> tuple[Status, str | None]:
        if live is None:
            return "empty", None
        if live.problem is not None:
            return "damaged", f"{live.problem}; rebuild it from the files with `tandem reindex --store {live.store_id}`"
        if live.embedder == self.embedder.name and live.dimension == self.embedder.dimension:
            return "ready", None
        words = f"made with {live.embedder}, while {self.embedder.name} is set; reindex the store to change over"
        try:
            self._embedders.of(EmbedderName(live.embedder, live.dimension))
        except EmbedderMismatch as error:
            return "embedder_mismatch", str(error)
        return "embedder_mismatch", f"{words}. Until then it is asked with {live.embedder}"


def _collection_body(row: Collection, count: int | None) -> CollectionBody:
    return CollectionBody(
        id=row.id,
        state=row.state,
        embedder=row.embedder,
        dimension=row.dimension,
        count=count,
        created_at=row.created_at.timestamp(),
        settings={**named(sparse_of(row.settings)), **row.settings},
        problem=row.problem,
    )
