"""What the tasks of an indexing or training worker share: made on first use, never at import."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial

from retrieval.documents.parser import Parser
from retrieval.embedding.embedder import Embedder
from retrieval.embedding.runtime import make_embedder
from services.domain.jobs import Jobs
from services.kit.http import client
from services.kit.settings import Platform
from services.worker.fine_tuning.job import FineTuningJob
from services.worker.indexing.indexing import Indexing
from services.worker.indexing.reconciling import Reconciling
from services.worker.reindexing.job import ReindexingJob
from services.worker.reindexing.reindexing import Reindexing
from services.worker.retrieval_client import RetrievalWriter
from services.worker.settings import WorkerSettings
from services.worker.shared import jobs, sessions


@dataclass(frozen=True)
class Parts:
    jobs: Jobs
    indexing: Indexing
    reindexing: Reindexing
    reconciling: Reconciling


@cache
def parts() -> Parts:
    settings = WorkerSettings()
    parser = Parser(settings.parsing_limits())
    parser.warm()  # it starts while the embedder loads
    return make_parts(Platform(), settings, parser, settings.embed_threads)


@cache
def fine_tuning_job() -> FineTuningJob:
    return FineTuningJob(jobs(), sessions(), Platform(), WorkerSettings())


@cache
def reindexing_job() -> ReindexingJob:
    return ReindexingJob()


def make_parts(platform: Platform, settings: WorkerSettings, parser: Parser, threads: int) -> Parts:
    """`threads` is for embedding."""
    open_embedder = partial(_open, platform, threads)
    writer = RetrievalWriter(client(platform.retrieval_url, platform.service_token, timeout=600.0))
    embedder, former = open_embedder(platform.embedding_model), cache(partial(open_embedder, local_only=True))
    indexing = Indexing(sessions(), writer, embedder, parser, settings, former)
    reindexing = Reindexing(sessions(), indexing, writer, platform.index_folder, settings.min_recall)
    reconciling = Reconciling(sessions(), writer, platform.files_url, platform.index_folder, settings.reconcile_hours)
    return Parts(jobs(), indexing, reindexing, reconciling)


def _open(platform: Platform, threads: int, model: str, *, local_only: bool = False) -> Embedder:
    return make_embedder(
        model, platform.embedding_runtime, platform.converted_folder, threads=threads, local_only=local_only
    )
