"""What the tasks of one worker process share: made on first use, never at import."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from kombu.exceptions import OperationalError

from retrieval.embedding import Bm25Encoder, Embedder
from retrieval.parsing import Parser
from retrieval.runtime import make_embedder
from retrieval.sources.allowed import Allowed
from retrieval.sources.opening import open_source
from retrieval.sources.port import Bounds
from services.contracts.jobs import TASKS
from services.database.engine import Sessions, open_sessions
from services.database.jobs import Jobs
from services.database.tables import Job
from services.kit.http import client
from services.kit.settings import Platform, SourceSettings
from services.worker.app import app
from services.worker.expiry import Expiry
from services.worker.indexing import Indexing
from services.worker.reindexing import Reindexing
from services.worker.retrieval_client import RetrievalWriter
from services.worker.settings import WorkerSettings
from services.worker.syncing import Connect, Syncing


@dataclass(frozen=True)
class Parts:
    jobs: Jobs
    indexing: Indexing
    reindexing: Reindexing
    syncing: Syncing
    sources: SourceSettings
    expiry: Expiry


@cache
def sessions() -> Sessions:
    return open_sessions(Platform().database_url)


@cache
def parts() -> Parts:
    platform, settings = Platform(), WorkerSettings()
    parser = Parser(settings.parsing_limits())
    parser.warm()  # it starts while the embedder loads
    jobs, embedder = Jobs(sessions()), _embedder(platform, settings.embed_threads)
    writer = RetrievalWriter(client(platform.retrieval_url, platform.service_token, timeout=120.0))
    indexing = Indexing(sessions(), writer, embedder, Bm25Encoder(), parser, settings)
    reindexing = Reindexing(sessions(), indexing, writer, platform.index_folder)
    sources = SourceSettings()
    syncing = Syncing(sessions(), platform.files_url, writer, connector(sources), send, sources)
    return Parts(jobs, indexing, reindexing, syncing, sources, Expiry(sessions(), writer))


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


def _embedder(platform: Platform, threads: int) -> Embedder:
    return make_embedder(
        platform.embedding_model, platform.embedding_runtime, platform.converted_folder, threads=threads
    )
