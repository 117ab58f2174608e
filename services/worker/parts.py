"""What the tasks of one worker process share: made on first use, never at import."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial

from kombu.exceptions import OperationalError

from retrieval.embedding import Embedder
from retrieval.parsing import Parser
from retrieval.runtime import make_embedder
from retrieval.sources.allowed import Allowed
from retrieval.sources.opening import open_source
from retrieval.sources.port import Bounds
from services.contracts.jobs import TASKS
from services.database.engine import Sessions, open_sessions
from services.database.jobs import Jobs
from services.database.retraining import ReviewedExamples
from services.database.tables import Job
from services.kit.http import client
from services.kit.settings import Platform, SourceSettings
from services.worker.app import app
from services.worker.background import Background
from services.worker.clearing import Clearing
from services.worker.expiry import Expiry
from services.worker.fine_tuning import FineTuning
from services.worker.indexing import Indexing
from services.worker.reconciling import Reconciling
from services.worker.reindexing import Reindexing
from services.worker.retraining import Retraining
from services.worker.retrieval_client import RetrievalWriter
from services.worker.settings import WorkerSettings
from services.worker.syncing import Connect, Syncing


@dataclass(frozen=True)
class Parts:
    jobs: Jobs
    indexing: Indexing
    reindexing: Reindexing
    reconciling: Reconciling
    syncing: Syncing
    sources: SourceSettings
    expiry: Expiry
    retraining: Retraining
    clearing: Clearing


@cache
def sessions() -> Sessions:
    return open_sessions(Platform().database_url)


@cache
def parts() -> Parts:
    settings = WorkerSettings()
    parser = Parser(settings.parsing_limits())
    parser.warm()  # it starts while the embedder loads
    return make_parts(Platform(), settings, parser, settings.embed_threads)


@cache
def fine_tuning() -> FineTuning:
    settings = WorkerSettings()
    return FineTuning(Jobs(sessions(), settings.silent_seconds), sessions(), Platform(), settings)


@cache
def background() -> Background:
    return Background()


def make_parts(platform: Platform, settings: WorkerSettings, parser: Parser, threads: int) -> Parts:
    """`threads` is for embedding."""
    open_embedder = partial(_open, platform, threads)
    writer = RetrievalWriter(client(platform.retrieval_url, platform.service_token, timeout=600.0))
    embedder, former = open_embedder(platform.embedding_model), cache(partial(open_embedder, local_only=True))
    indexing = Indexing(sessions(), writer, embedder, parser, settings, former)
    reindexing = Reindexing(sessions(), indexing, writer, platform.index_folder, settings.min_recall)
    reconciling = Reconciling(sessions(), writer, platform.files_url, platform.index_folder, settings.reconcile_hours)
    sources = SourceSettings()
    syncing = Syncing(sessions(), platform.files_url, writer, connector(sources), send, sources)
    jobs, expiry = Jobs(sessions(), settings.silent_seconds), Expiry(sessions(), writer, settings.journal_days)
    versions = platform.versions_folder
    retraining = Retraining(
        sessions(),
        versions,
        ReviewedExamples(sessions(), platform.files_url),
        platform.base_model,
        settings.deadline_train,
    )
    clearing = Clearing(sessions(), versions, settings.keep_versions)
    return Parts(jobs, indexing, reindexing, reconciling, syncing, sources, expiry, retraining, clearing)


def send(job: Job) -> None:
    """Hand a job to the workers. While the broker does not answer the job waits; beat offers it again."""
    task, queue = TASKS[job.kind]
    with suppress(OperationalError, OSError):
        app.send_task(task, args=[job.id], queue=queue, task_id=job.id)


def connector(settings: SourceSettings) -> Connect:
    """Opens sources within the operator's allow-lists and bounds."""
    allowed = Allowed(tuple(settings.folders), tuple(settings.bucket_schemes), tuple(settings.private_hosts))
    bounds = Bounds(settings.max_file_bytes, settings.request_timeout)
    return lambda source: open_source(source.kind, source.location, source.settings, allowed, bounds)


def _open(platform: Platform, threads: int, model: str, *, local_only: bool = False) -> Embedder:
    return make_embedder(
        model, platform.embedding_runtime, platform.converted_folder, threads=threads, local_only=local_only
    )
