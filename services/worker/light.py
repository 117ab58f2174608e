"""The tasks of the light worker: the tick and the syncs. No model is loaded here, and no document is embedded."""

from __future__ import annotations

import logging
import time
from functools import cache
from threading import BoundedSemaphore, Lock, Thread

from retrieval.sources.allowed import Allowed
from retrieval.sources.opening import open_source
from retrieval.sources.port import Bounds
from services.contracts.jobs import FINISHED, SYNC_SOURCE, SYNCS_AT_ONCE, TICK
from services.database.tables import now
from services.domain.retraining import ReviewedExamples
from services.kit.http import client
from services.kit.settings import Platform, SourceSettings
from services.worker.alone import alone
from services.worker.app import app
from services.worker.files.expiry import Expiry
from services.worker.indexing.reconciling import Reconciling
from services.worker.performing import perform
from services.worker.reindexing.abandoned import AbandonedBuilds
from services.worker.retrieval_client import RetrievalWriter
from services.worker.schedules.retraining import Retraining
from services.worker.settings import WorkerSettings
from services.worker.shared import jobs, send, sessions
from services.worker.sources.sync_state import SourceBusy
from services.worker.sources.syncing import Connect, Syncing
from services.worker.ticking import Ticking
from services.worker.versions.clearing import Clearing

ANSWER_SECONDS = 60.0
"""So long the retrieval service may take; what is not purged then stays hidden, and the next repair removes it."""

LOOK_SECONDS = 5.0
HANGING_SECONDS = 60.0
"""So long a sync may take to see that it has to stop; one that reads from a share that does not answer never does."""

log = logging.getLogger(__name__)
_one_tick = Lock()
_syncs = BoundedSemaphore(SYNCS_AT_ONCE)


@app.task(name=TICK)  # type: ignore[untyped-decorator]
def tick() -> None:
    """Runs every minute, unless the last one is still running: that one will also find what is due by now."""
    if _one_tick.acquire(blocking=False):
        try:
            ticking().tick(now())
        finally:
            _one_tick.release()


@app.task(name=SYNC_SOURCE)  # type: ignore[untyped-decorator]
def sync_source(job_id: str) -> None:
    """At most SYNCS_AT_ONCE run at once, so that a thread of this worker stays free for the tick. The tick offers it
    again.
    """
    if not _syncs.acquire(blocking=False):
        jobs().explain(job_id, f"waits until one of the {SYNCS_AT_ONCE} syncs at work on this worker has ended")
        return
    try:
        thread = Thread(target=_sync, args=(job_id,), name=f"sync-{job_id}", daemon=True)
        thread.start()
        _wait_for(thread, job_id)
    finally:
        _syncs.release()


def _sync(job_id: str) -> None:
    with alone(f"the sync {job_id}"):
        perform(jobs(), job_id, syncing().sync, passing=(SourceBusy,))


def _wait_for(sync: Thread, job_id: str) -> None:
    """Return when a sync has ended. Also return when it hangs after it was cancelled or passed its deadline, so that it
    does not block a place. Such a sync can do no harm: before each step it checks that it still holds its source.
    """
    told_at: float | None = None
    while sync.is_alive():
        sync.join(LOOK_SECONDS)
        job = None
        with alone(f"looking at the sync {job_id}"):
            job = jobs().current(job_id)
        if job is None or not (job.cancel_requested or job.status in FINISHED):
            continue
        told_at = told_at or time.monotonic()
        if sync.is_alive() and time.monotonic() - told_at > HANGING_SECONDS:
            log.error("the sync %s hangs: its place is given to another", job_id)
            jobs().finish(job_id, "cancelled", "cancelled; the source did not answer any more")
            return


@cache
def ticking() -> Ticking:
    platform, settings, versions = Platform(), WorkerSettings(), Platform().versions_folder
    examples = ReviewedExamples(sessions(), platform.files_url)
    return Ticking(
        sessions(),
        jobs(),
        send,
        platform.runs_folder,
        SourceSettings().deadline,
        Reconciling(sessions(), writer(), platform.files_url, platform.index_folder, settings.reconcile_hours),
        Retraining(sessions(), versions, examples, platform.base_model, settings.deadline_train),
        AbandonedBuilds(sessions(), writer(), platform.index_folder),
        Expiry(sessions(), writer(), settings.journal_days),
        Clearing(sessions(), versions, settings.keep_versions),
    )


@cache
def syncing() -> Syncing:
    sources = SourceSettings()
    return Syncing(sessions(), Platform().files_url, writer(), connector(sources), send, sources)


@cache
def writer() -> RetrievalWriter:
    platform = Platform()
    return RetrievalWriter(client(platform.retrieval_url, platform.service_token, ANSWER_SECONDS))


def connector(settings: SourceSettings) -> Connect:
    """Opens sources within the operator's allow-lists and bounds."""
    allowed = Allowed(tuple(settings.folders), tuple(settings.bucket_schemes), tuple(settings.private_hosts))
    bounds = Bounds(settings.max_file_bytes, settings.request_timeout)
    return lambda source: open_source(source.kind, source.location, source.settings, allowed, bounds)
