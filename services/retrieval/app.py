"""The retrieval service's web application.

The service owns the search indexes: no other process opens a collection or says which one a store serves. Its rooms:
`index/` keeps collections, their catalog and their points, `search/` answers questions, `reindexing/` tests a newly
built collection and switches to it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from retrieval.embedding.embedder import Embedder
from retrieval.embedding.runtime import make_embedder
from retrieval.errors import (
    EmbedderMismatch,
    IndexDamaged,
    IndexUnavailable,
    InputError,
    RecallTooLow,
    RecipeChanged,
    StaleRevision,
    UnknownCollection,
)
from retrieval.index.edge import EdgeEngine
from retrieval.index.port import IndexEngine
from retrieval.index.remote import RemoteEngine
from retrieval.search.reranking import CrossEncoderReranker, Reranker
from services.database.engine import Sessions, open_sessions
from services.kit import errors
from services.kit.auth import ServiceToken, authorization
from services.kit.settings import Platform
from services.retrieval.parts import Parts
from services.retrieval.routes import build_router
from services.retrieval.search.embedders import Embedders, OpenEmbedder
from services.retrieval.settings import RetrievalSettings

ERRORS: list[tuple[type[Exception], int, str]] = [
    (InputError, 400, "invalid_input"),
    (EmbedderMismatch, 400, "embedder_mismatch"),
    (UnknownCollection, 404, "unknown_collection"),
    (StaleRevision, 409, "stale_revision"),
    (RecipeChanged, 409, "recipe_changed"),
    (RecallTooLow, 409, "recall_too_low"),
    (IndexDamaged, 503, "index_damaged"),
    (IndexUnavailable, 503, "index_unavailable"),
]


def create_app(
    platform: Platform,
    settings: RetrievalSettings,
    *,
    embedder: Embedder | None = None,
    engine: IndexEngine | None = None,
    sessions: Sessions | None = None,
    reranker: Reranker | None = None,
    open_embedder: OpenEmbedder | None = None,
) -> FastAPI:
    """The app, with its model loaded; arguments that are not given are made from the settings.

    `open_embedder` loads the embedders of collections that were made before the setting changed. When the app starts it
    reads its live collections in the background, and it closes them when it stops. Raises ValueError if the platform
    has no service token.
    """
    embedder = embedder or _open(platform, settings, platform.embedding_model)
    engine = engine or open_engine(platform, settings)
    if reranker is None and settings.rerank_model:
        reranker = CrossEncoderReranker(settings.rerank_model)
    former = open_embedder or partial(_open, platform, settings, local_only=True)
    embedders = Embedders(embedder, former, settings.former_embedders)
    parts = Parts(sessions or open_sessions(platform.database_url), engine, embedders, settings, reranker)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        if settings.check_at_start:
            parts.soundness.start()
        yield
        await run_in_threadpool(parts.soundness.stop)
        await run_in_threadpool(parts.collections.close_all)

    app = FastAPI(title="Tandem retrieval", lifespan=lifespan, openapi_url=None)
    app.state.parts = parts
    app.add_middleware(ServiceToken, expected=authorization(platform.service_token))
    errors.install(app, ERRORS)
    app.include_router(build_router(parts))
    return app


def _open(platform: Platform, settings: RetrievalSettings, model: str, *, local_only: bool = False) -> Embedder:
    """An embedder with the platform's settings. A former one is `local_only`, so that a search never waits for a
    download.
    """
    return make_embedder(
        model,
        platform.embedding_runtime,
        platform.converted_folder,
        dtype=settings.embedder_dtype,
        threads=settings.embedder_threads,
        local_only=local_only,
    )


def open_engine(platform: Platform, settings: RetrievalSettings) -> IndexEngine:
    """The engine that the settings name: a Qdrant server, or Qdrant Edge under the platform's home."""
    if not settings.index_url:
        return EdgeEngine(platform.index_folder, settings.search_width)
    return RemoteEngine.at(settings.index_url, settings.index_api_key, search_width=settings.search_width)
