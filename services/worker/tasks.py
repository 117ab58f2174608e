"""The tasks of the workers that index and train.

Each claims its job, calls one function and records the outcome; each may be delivered twice.
"""

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
    TRAIN_EMBEDDER,
)
from services.worker.app import app
from services.worker.files.stored import FilesAway
from services.worker.parts import fine_tuning_job, parts, reindexing_job
from services.worker.performing import perform
from services.worker.shared import jobs
from services.worker.training_process import RunLost, run_training
from training.hardware import Hardware


@worker_ready.connect  # type: ignore[untyped-decorator]
def load_embedder(sender: Any, **_kwargs: object) -> None:
    """Load it now, so that the first file after a start does not wait. A worker that only trains needs none."""
    if INDEX_QUEUE in sender.app.amqp.queues.consume_from:
        parts()


PASSING = (IndexUnavailable, EmbedderMismatch, FilesAway)


@app.task(name=INDEX_FILE)  # type: ignore[untyped-decorator]
def index_file(job_id: str) -> None:
    indexing = parts().indexing
    perform(jobs(), job_id, indexing.index_file, indexing.failed, passing=PASSING)


@app.task(name=REINDEX_STORE)  # type: ignore[untyped-decorator]
def reindex_store(job_id: str) -> None:
    """Start the job's process; this one continues to index files that arrive in the meantime."""
    if not reindexing_job().start(job_id):
        jobs().explain(job_id, "waits for another re-indexing on this worker")


@app.task(name=RECONCILE)  # type: ignore[untyped-decorator]
def reconcile(job_id: str) -> None:
    """The tick offers the files that this queues again to the workers."""
    perform(jobs(), job_id, parts().reconciling.reconcile, passing=(IndexUnavailable,))


@app.task(name=FINE_TUNE)  # type: ignore[untyped-decorator]
def fine_tune(job_id: str) -> None:
    perform(jobs(), job_id, fine_tuning_job().run, passing=(RunLost,))


@app.task(name=TRAIN_EMBEDDER)  # type: ignore[untyped-decorator]
def train_embedder(job_id: str) -> None:
    """On the CPU. On a machine with GPUs its process sees none, so it takes none of their memory."""
    on_cpu = Hardware("cpu").environment()
    perform(jobs(), job_id, partial(run_training, module="services.worker.embedders.run", environment=on_cpu))


@app.task(name=EXAMINE_DATA_SET)  # type: ignore[untyped-decorator]
def examine_data_set(job_id: str) -> None:
    perform(jobs(), job_id, partial(run_training, module="services.worker.data_sets.examine"))
