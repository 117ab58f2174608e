"""The retrieval service's web application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from retrieval.embedding import Embedder
from retrieval.errors import EmbedderMismatch, IndexUnavailable, InputError, StaleRevision, UnknownCollection
from retrieval.index.edge import EdgeEngine
from retrieval.index.port import IndexEngine
from retrieval.index.remote import RemoteEngine
from retrieval.reranking import CrossEncoderReranker, Reranker
from retrieval.runtime import make_embedder
from services.database.engine import Sessions, open_sessions
from services.kit import errors
from services.kit.settings import Platform
from services.retrieval.parts import Parts
from services.retrieval.routes import build_router
from services.retrieval.settings import RetrievalSettings

ERRORS: list[tuple[type[Exception], int, str]] = [
    (InputError, 400, "invalid_input"),
    (EmbedderMismatch, 400, "embedder_mismatch"),
    (UnknownCollection, 404, "unknown_collection"),
    (StaleRevision, 409, "stale_revision"),
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
) -> FastAPI:
    """The app, with its model loaded; what is not given is made from the settings.

    It closes its collections when it stops. Raises ValueError where the platform has no service token.
    """
    embedder = embedder or make_embedder(
        platform.embedding_model,
        platform.embedding_runtime,
        platform.converted_folder,
        dtype=settings.embedder_dtype,
        threads=settings.embedder_threads,
    )
    engine = engine or open_engine(platform, settings)
    if reranker is None and settings.rerank_model:
        reranker = CrossEncoderReranker(settings.rerank_model)
    parts = Parts(sessions or open_sessions(platform.database_url), engine, embedder, settings, reranker)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(parts.collections.close_all)

    app = FastAPI(title="Tandem retrieval", lifespan=lifespan, openapi_url=None)
    errors.install(app, ERRORS)
    app.include_router(build_router(parts, platform.service_token))
    return app


def open_engine(platform: Platform, settings: RetrievalSettings) -> IndexEngine:
    """The engine that the settings name: a Qdrant server, or Qdrant Edge under the platform's home."""
    if not settings.index_url:
        return EdgeEngine(platform.index_folder)
    return RemoteEngine.at(settings.index_url, settings.index_api_key)
