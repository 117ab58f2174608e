"""Runs of training schedules: the part that the gateway (run now) and the workers' tick share."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from services.contracts.jobs import FINISHED, JobKind
from services.database.engine import Sessions
from services.database.tables import File, Job, TrainingSchedule
from services.domain.examples import TooFewExamples, count_approved, freeze_examples
from services.domain.jobs import new_job

FINE_TUNING: JobKind = "fine_tuning"


class NothingToTrainOn(Exception):
    """A schedule's examples do not exist; the message says what to do."""


class ApprovedExamples(Protocol):
    """The examples of a workspace that a person approved."""

    def count(self, workspace_id: str, since: datetime | None) -> int:
        """How many were approved since a given time; without one, how many there are."""
        ...

    def freeze(self, workspace_id: str) -> str:
        """The id of a file that holds them as they are now. Raises NothingToTrainOn."""
        ...


class ReviewedExamples:
    """The examples of the review queue, of the kind `supervised`."""

    def __init__(self, sessions: Sessions, files_url: str) -> None:
        self._sessions, self._files_url = sessions, files_url

    def count(self, workspace_id: str, since: datetime | None) -> int:
        return count_approved(self._sessions, workspace_id, "supervised", since)

    def freeze(self, workspace_id: str) -> str:
        try:
            return freeze_examples(self._sessions, self._files_url, workspace_id, "supervised").id
        except TooFewExamples as error:
            raise NothingToTrainOn(f"{error} Or name a training file.") from error


def training_file(sessions: Sessions, schedule: TrainingSchedule, examples: ApprovedExamples) -> str:
    """The id of the file that a run of the schedule trains on. Raises NothingToTrainOn."""
    if schedule.training_file is None:
        return examples.freeze(schedule.workspace_id)
    there = File.id == schedule.training_file, File.workspace_id == schedule.workspace_id, File.deleted_at.is_(None)
    with sessions() as session:
        if session.scalar(select(File.id).where(*there)) is None:
            raise NothingToTrainOn(f"its training file '{schedule.training_file}' was deleted; name another one")
    return schedule.training_file


def unfinished_job(session: Session, schedule: TrainingSchedule) -> str | None:
    """The id of the job of the schedule's last run, until that job is finished."""
    last = Job.id == schedule.last_job_id, Job.status.not_in(FINISHED)
    return session.scalar(select(Job.id).where(*last))


def begin_run(
    session: Session, schedule: TrainingSchedule, file_id: str, base_model: str, deadline_seconds: float
) -> Job | None:
    """Queue the schedule's job in the caller's transaction.

    None if another run began after the schedule was read, so there are never two at a time.
    """
    request: dict[str, Any] = {
        "model": base_model,
        "training_file": file_id,
        "suffix": schedule.suffix,
        "seed": schedule.seed,
        "hyperparameters": schedule.hyperparameters,
        "schedule_id": schedule.id,
    }
    job = new_job(schedule.workspace_id, FINE_TUNING, request, deadline_seconds)
    unchanged = TrainingSchedule.last_job_id.is_not_distinct_from(schedule.last_job_id)
    taken = update(TrainingSchedule).where(TrainingSchedule.id == schedule.id, unchanged).values(last_job_id=job.id)
    if session.execute(taken).rowcount == 0:  # type: ignore[attr-defined]
        return None
    session.add(job)
    session.flush()
    return job
