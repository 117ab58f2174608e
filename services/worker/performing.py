"""How a worker performs one job, from its claim to its outcome."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from retrieval.errors import RepairStopped, RetrievalError, SyncStopped
from services.database.patience import AWAY
from services.database.tables import Job
from services.domain.jobs import Jobs
from services.kit.telling import told
from services.worker.alone import alone
from services.worker.files.stored import FilesAway
from services.worker.heartbeat import Heartbeat, JobCancelled, JobPaused, JobTaken
from services.worker.retrieval_client import RetrievalDown
from services.worker.sources.sync_state import SourceBusy
from training.errors import TrainingError

log = logging.getLogger(__name__)
MOST_TRIES = 60
"""Tries, a minute or more apart, of a job that is refused each time: a faulty one does not go on for ever."""
Work = Callable[[Job, Heartbeat], dict[str, Any]]
OnFailure = Callable[[Job, str, Exception | None], None]


def perform(
    jobs: Jobs,
    job_id: str,
    work: Work,
    on_failure: OnFailure | None = None,
    passing: tuple[type[Exception], ...] = (),
) -> None:
    """Claim the job, do its work and record the outcome. Do nothing if another worker has it.

    `passing` are failures that end by themselves: the job waits and is offered again every minute. It waits as long as
    another service is away or another job is in its way, and MOST_TRIES times if that service is there and refuses it.
    """
    mending: tuple[type[Exception], ...] = (*passing, *AWAY)
    job = jobs.claim(job_id)
    if job is None:
        return
    with Heartbeat(jobs, job.id, job.started_at) as heartbeat:
        try:
            result = work(job, heartbeat)
        except JobCancelled:
            jobs.finish(job.id, "cancelled", "cancelled")
        except JobPaused:
            jobs.put_aside(job.id, "paused", "paused; resume it to go on")
        except JobTaken:
            log.warning("job %s was given to another worker, or ended at its deadline, or may have been", job.id)
        except mending as error:
            _wait(jobs, job, error, on_failure)
        except (SyncStopped, RepairStopped) as error:
            jobs.add_event(job, str(error), level="error", data=error.report)
            jobs.finish(job.id, "failed", str(error), error.report)
        except (RetrievalError, TrainingError) as error:
            fail(jobs, job, str(error), error, on_failure)
        except Exception as error:  # the edge of the process: a job never ends without a reason
            log.exception("job %s failed", job.id)
            fail(jobs, job, told(error), error, on_failure)
        else:
            jobs.finish(job.id, "succeeded", result.pop("reason", None), result)


def _wait(jobs: Jobs, job: Job, error: Exception, on_failure: OnFailure | None) -> None:
    """Put back a job that cannot be done now."""
    is_away = isinstance(error, (RetrievalDown, FilesAway, SourceBusy))
    what = "the database was away" if isinstance(error, AWAY) else error
    if job.tries >= MOST_TRIES and not is_away:
        fail(jobs, job, f"tried {job.tries} times, and it was the same each time: {what}", error, on_failure)
        return
    reason = f"waits, and is tried again every minute: {what}"
    if is_away:
        jobs.put_back(job.id, reason)
    else:
        jobs.put_aside(job.id, "queued", reason)


def fail(jobs: Jobs, job: Job, reason: str, error: Exception | None, on_failure: OnFailure | None) -> None:
    """End a job with a reason, after everything else that has to know; `error` is the exception, if there was one."""
    if on_failure:
        with alone(f"noting the failure of the job {job.id} elsewhere"):
            on_failure(job, reason, error)
    jobs.add_event(job, reason, level="error")
    jobs.finish(job.id, "failed", reason)
