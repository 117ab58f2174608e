"""The service's collaborators, made once."""

from __future__ import annotations

from retrieval.embedding import Bm25Encoder, Embedder
from retrieval.index.port import IndexEngine
from retrieval.reranking import Reranker
from retrieval.search import Searcher
from services.contracts.retrieval import (
    CollectionBody,
    CollectionsResponse,
    EmbeddingRequest,
    EmbeddingResponse,
)
from services.database.engine import Sessions
from services.retrieval.answers import Answers
from services.retrieval.catalog import Catalog, EmbedderName
from services.retrieval.collections import OpenCollections
from services.retrieval.metrics import Metrics
from services.retrieval.points import Points
from services.retrieval.settings import RetrievalSettings
from services.retrieval.switching import Switching


class Parts:
    """What the routes call."""

    def __init__(
        self,
        sessions: Sessions,
        engine: IndexEngine,
        embedder: Embedder,
        settings: RetrievalSettings,
        reranker: Reranker | None = None,
    ) -> None:
        made_with = EmbedderName(embedder.name, embedder.dimension)
        self.embedder = embedder
        self.embedded = engine.embedded
        self.metrics = Metrics()
        self.catalog = Catalog(sessions, made_with)
        self.collections = OpenCollections(engine, embedder.dimension, settings.max_open_collections)
        self.points = Points(self.catalog, self.collections, made_with)
        self.switching = Switching(self.catalog, self.collections)
        searcher = Searcher(embedder, Bm25Encoder(), settings.search(), reranker)
        self.answers = Answers(self.catalog, self.collections, searcher)

    def embed(self, request: EmbeddingRequest) -> EmbeddingResponse:
        vectors = self.embedder.embed(request.texts)
        return EmbeddingResponse(
            model=self.embedder.name,
            vectors=[list(vector) for vector in vectors],
            tokens=sum(self.embedder.count_tokens(text) for text in request.texts),
        )

    def overview(self, workspace_id: str, store_id: str) -> CollectionsResponse:
        """A store's builds; the live one counted."""
        live = self.catalog.live(workspace_id, store_id)
        live_id, previous_id, rows = self.catalog.collections(workspace_id, store_id)
        count = 0
        if live is not None:
            with self.collections.use(live) as index:
                count = index.count()
        builds = [
            CollectionBody(
                id=row.id,
                state=row.state,
                embedder=row.embedder,
                dimension=row.dimension,
                count=count if row.id == live_id else None,
                created_at=row.created_at.timestamp(),
            )
            for row in rows
        ]
        return CollectionsResponse(live_id=live_id, previous_id=previous_id, count=count, collections=builds)
