"""The tasks. Each claims its job, calls one function and records the outcome; each may be delivered twice."""

from __future__ import annotations

from retrieval.errors import EmbedderMismatch, IndexUnavailable
from services.contracts.jobs import FINE_TUNE, INDEX_FILE, RECONCILE, REINDEX_STORE, TASKS, TICK
from services.database.tables import Job
from services.worker.app import app
from services.worker.parts import background, parts
from services.worker.performing import fail, perform
from services.worker.training_process import run_training


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


@app.task(name=FINE_TUNE)  # type: ignore[untyped-decorator]
def fine_tune(job_id: str) -> None:
    perform(parts().jobs, job_id, run_training)


@app.task(name=TICK)  # type: ignore[untyped-decorator]
def tick() -> None:
    """Every minute: offer jobs that no worker has, end those past their deadline, clear what dead jobs left."""
    jobs = parts().jobs
    for job in jobs.overdue():
        on_failure = parts().indexing.failed if job.kind == "index_file" else None
        fail(jobs, job, "the job passed its deadline; start it again, or raise the deadline", on_failure)
    parts().reconciling.start_due()
    for job in jobs.abandoned():
        _send(job)
    parts().reindexing.sweep()


def _send(job: Job) -> None:
    name, queue = TASKS[job.kind]
    app.send_task(name, args=[job.id], queue=queue)
