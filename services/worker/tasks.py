"""The tasks. Each claims its job, calls one function and records the outcome; each may be delivered twice."""

from __future__ import annotations

from functools import partial
from typing import Any

from celery.signals import worker_ready

from retrieval.errors import EmbedderMismatch, IndexUnavailable
from services.contracts.jobs import (
    EXAMINE_DATA_SET,
    FINE_TUNE,
    INDEX_FILE,
    INDEX_QUEUE,
    RECONCILE,
    REINDEX_STORE,
    SYNC_SOURCE,
    TICK,
    TRAIN_EMBEDDER,
)
from services.database.tables import now
from services.kit.settings import Platform
from services.worker.app import app
from services.worker.leftovers import sweep_work
from services.worker.parts import background, fine_tuning, parts, send, sessions
from services.worker.performing import fail, perform
from services.worker.scheduling import due_syncs
from services.worker.training_process import RunLost, run_training


@worker_ready.connect  # type: ignore[untyped-decorator]
def load_embedder(sender: Any, **_kwargs: object) -> None:
    """So that the first file after a start does not wait for it. A worker that only trains has no use for one."""
    if INDEX_QUEUE in sender.app.amqp.queues.consume_from:
        parts()


@app.task(name=INDEX_FILE)  # type: ignore[untyped-decorator]
def index_file(job_id: str) -> None:
    indexing = parts().indexing
    perform(parts().jobs, job_id, indexing.index_file, indexing.failed, passing=(IndexUnavailable, EmbedderMismatch))


@app.task(name=REINDEX_STORE)  # type: ignore[untyped-decorator]
def reindex_store(job_id: str) -> None:
    """Start the job's process; files that come meanwhile are indexed by this one."""
    if not background().start(job_id):
        parts().jobs.explain(job_id, "waits for another re-indexing on this worker")


@app.task(name=RECONCILE)  # type: ignore[untyped-decorator]
def reconcile(job_id: str) -> None:
    """The files that it queues again are offered to the workers by the tick."""
    perform(parts().jobs, job_id, parts().reconciling.reconcile, passing=(IndexUnavailable,))


@app.task(name=SYNC_SOURCE)  # type: ignore[untyped-decorator]
def sync_source(job_id: str) -> None:
    perform(parts().jobs, job_id, parts().syncing.sync)


@app.task(name=FINE_TUNE)  # type: ignore[untyped-decorator]
def fine_tune(job_id: str) -> None:
    perform(parts().jobs, job_id, fine_tuning().run, passing=(RunLost,))


@app.task(name=TRAIN_EMBEDDER)  # type: ignore[untyped-decorator]
def train_embedder(job_id: str) -> None:
    perform(parts().jobs, job_id, partial(run_training, module="services.worker.train_embedder"))


@app.task(name=EXAMINE_DATA_SET)  # type: ignore[untyped-decorator]
def examine_data_set(job_id: str) -> None:
    perform(parts().jobs, job_id, partial(run_training, module="services.worker.examine_data_set"))


@app.task(name=TICK)  # type: ignore[untyped-decorator]
def tick() -> None:
    """Every minute: end jobs past their deadline, queue what is due, offer jobs that no worker has, clear what dead
    jobs left, and remove files and answers whose time is over, and weights that nobody needs."""
    jobs = parts().jobs
    for job in jobs.overdue():
        on_failure = parts().indexing.failed if job.kind == "index_file" else None
        fail(jobs, job, "the job passed its deadline; start it again, or raise the deadline", None, on_failure)
    parts().reconciling.start_due()
    due = [*due_syncs(sessions(), now(), parts().sources.deadline), *parts().retraining.due(now())]
    for job in [*jobs.abandoned(), *due]:
        send(job)
    parts().reindexing.sweep()
    parts().expiry.remove_expired()
    sweep_work(jobs, Platform().home)
    parts().expiry.forget_answers()
    parts().clearing.clear()
