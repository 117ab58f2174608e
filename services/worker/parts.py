"""What the tasks of one worker process share: made on first use, never at import."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from retrieval.embedding import Bm25Encoder, Embedder
from retrieval.runtime import make_embedder
from services.database.engine import Sessions, open_sessions
from services.database.jobs import Jobs
from services.kit.http import client
from services.kit.settings import Platform
from services.worker.indexing import Indexing
from services.worker.reindexing import Reindexing
from services.worker.retrieval_client import RetrievalWriter
from services.worker.settings import WorkerSettings


@dataclass(frozen=True)
class Parts:
    jobs: Jobs
    indexing: Indexing
    reindexing: Reindexing


@cache
def sessions() -> Sessions:
    return open_sessions(Platform().database_url)


@cache
def parts() -> Parts:
    platform, settings = Platform(), WorkerSettings()
    jobs, embedder = Jobs(sessions()), _embedder(platform, settings.embed_threads)
    writer = RetrievalWriter(client(platform.retrieval_url, platform.service_token, timeout=120.0))
    indexing = Indexing(sessions(), writer, embedder, Bm25Encoder(), settings)
    return Parts(jobs, indexing, Reindexing(sessions(), indexing, writer, platform.index_folder))


def _embedder(platform: Platform, threads: int) -> Embedder:
    return make_embedder(
        platform.embedding_model, platform.embedding_runtime, platform.embedders_folder, threads=threads
    )
