"""What the tasks of one worker process share: made on first use, never at import."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial

from retrieval.embedding import SentenceTransformerEmbedder
from services.database.engine import Sessions, open_sessions
from services.database.jobs import Jobs
from services.kit.http import client
from services.kit.settings import Platform
from services.worker.background import Background
from services.worker.indexing import Indexing
from services.worker.reconciling import Reconciling
from services.worker.reindexing import Reindexing
from services.worker.retrieval_client import RetrievalWriter
from services.worker.settings import WorkerSettings


@dataclass(frozen=True)
class Parts:
    jobs: Jobs
    indexing: Indexing
    reindexing: Reindexing
    reconciling: Reconciling


@cache
def sessions() -> Sessions:
    return open_sessions(Platform().database_url)


@cache
def parts() -> Parts:
    settings = WorkerSettings()
    return make_parts(Platform(), settings, settings.embed_threads)


@cache
def background() -> Background:
    return Background()


def make_parts(platform: Platform, settings: WorkerSettings, threads: int) -> Parts:
    """`threads` is for embedding."""
    jobs, embedder = Jobs(sessions(), settings.silent_seconds), _embedder(platform.embedding_model, threads)
    writer = RetrievalWriter(client(platform.retrieval_url, platform.service_token, timeout=600.0))
    indexing = Indexing(sessions(), writer, embedder, settings, partial(_former_embedder, threads=threads))
    reindexing = Reindexing(sessions(), indexing, writer, platform.index_folder, settings.min_recall)
    reconciling = Reconciling(sessions(), writer, platform.files_url, platform.index_folder, settings.reconcile_hours)
    return Parts(jobs, indexing, reindexing, reconciling)


@cache
def _embedder(model: str, threads: int) -> SentenceTransformerEmbedder:
    return SentenceTransformerEmbedder(model, threads=threads)


@cache
def _former_embedder(model: str, threads: int) -> SentenceTransformerEmbedder:
    return SentenceTransformerEmbedder(model, threads=threads, local_only=True)
