"""The tasks. Each claims its job, calls one function and records the outcome; each may be delivered twice."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from retrieval.errors import RetrievalError, SyncStopped
from services.contracts.jobs import FINE_TUNE, INDEX_FILE, REINDEX_STORE, SYNC_SOURCE, TICK, TRAIN_EMBEDDER
from services.database.jobs import Jobs
from services.database.tables import Job, now
from services.worker.app import app
from services.worker.heartbeat import Heartbeat, JobCancelled
from services.worker.parts import parts, send, sessions
from services.worker.scheduling import due_syncs
from services.worker.training_process import run_training

log = logging.getLogger(__name__)
Work = Callable[[Job, Heartbeat], dict[str, Any]]
OnFailure = Callable[[Job, str, Exception | None], None]


@app.task(name=INDEX_FILE)  # type: ignore[untyped-decorator]
def index_file(job_id: str) -> None:
    _perform(job_id, parts().indexing.index_file, parts().indexing.failed)


@app.task(name=REINDEX_STORE)  # type: ignore[untyped-decorator]
def reindex_store(job_id: str) -> None:
    _perform(job_id, parts().reindexing.reindex)


@app.task(name=SYNC_SOURCE)  # type: ignore[untyped-decorator]
def sync_source(job_id: str) -> None:
    _perform(job_id, parts().syncing.sync)


@app.task(name=FINE_TUNE)  # type: ignore[untyped-decorator]
def fine_tune(job_id: str) -> None:
    _perform(job_id, run_training)


@app.task(name=TRAIN_EMBEDDER)  # type: ignore[untyped-decorator]
def train_embedder(job_id: str) -> None:
    _perform(job_id, partial(run_training, module="services.worker.train_embedder"))


@app.task(name=TICK)  # type: ignore[untyped-decorator]
def tick() -> None:
    """Every minute: queue what is due, offer jobs that no worker has, end those past their deadline, and remove files
    that expired."""
    jobs = parts().jobs
    for job in jobs.overdue():
        on_failure = parts().indexing.failed if job.kind == "index_file" else None
        _fail(jobs, job, "the job passed its deadline; start it again, or raise the deadline", None, on_failure)
    for job in [*jobs.abandoned(), *due_syncs(sessions(), now(), parts().sources.deadline)]:
        send(job)
    parts().expiry.remove_expired()


def _perform(job_id: str, work: Work, on_failure: OnFailure | None = None) -> None:
    jobs: Jobs = parts().jobs
    job = jobs.claim(job_id)
    if job is None:
        return
    with Heartbeat(jobs, job.id) as heartbeat:
        try:
            result = work(job, heartbeat)
        except JobCancelled:
            jobs.finish(job.id, "cancelled", "cancelled")
        except SyncStopped as error:
            jobs.add_event(job, str(error), level="error", data=error.report)
            jobs.finish(job.id, "failed", str(error), error.report)
        except RetrievalError as error:
            _fail(jobs, job, str(error), error, on_failure)
        except Exception as error:  # the edge of the process: a job never ends without a reason
            log.exception("job %s failed", job.id)
            _fail(jobs, job, f"{type(error).__name__}: {error}", error, on_failure)
        else:
            jobs.finish(job.id, "succeeded", result.pop("reason", None), result)


def _fail(jobs: Jobs, job: Job, reason: str, error: Exception | None, on_failure: OnFailure | None) -> None:
    if on_failure:
        on_failure(job, reason, error)
    jobs.add_event(job, reason, level="error")
    jobs.finish(job.id, "failed", reason)
