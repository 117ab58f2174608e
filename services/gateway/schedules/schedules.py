"""Schedules of retraining: make, change, show, and run now."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, func, select, tuple_, update

from services.database.engine import Sessions
from services.database.tables import Job, ScheduleRun, TrainingSchedule, now
from services.domain.retraining import ApprovedExamples, NothingToTrainOn, begin_run, training_file, unfinished_job
from services.gateway.files.files import Files
from services.gateway.jobs.dispatch import Dispatcher
from services.kit.errors import ApiError

Run = tuple[ScheduleRun, Job | None]
"""A due time that was taken, and the job that came of it."""


class Schedules:
    """`deadline` of a run is in seconds."""

    def __init__(
        self,
        sessions: Sessions,
        files: Files,
        dispatcher: Dispatcher,
        examples: ApprovedExamples,
        base_model: str,
        deadline: float,
    ) -> None:
        self._sessions, self._files, self._dispatcher, self._examples = sessions, files, dispatcher, examples
        self._base_model, self._deadline = base_model, deadline

    def create(self, workspace_id: str, values: dict[str, Any]) -> TrainingSchedule:
        """`values` are columns. Raises ApiError for a training file that does not exist or has another purpose."""
        self._check_file(workspace_id, values)
        schedule = TrainingSchedule(id=f"sched_{secrets.token_hex(12)}", workspace_id=workspace_id, **values)
        with self._sessions.begin() as session:
            session.add(schedule)
        return schedule

    def find(self, workspace_id: str, schedule_id: str) -> TrainingSchedule:
        with self._sessions() as session:
            schedule = session.scalar(_schedules(workspace_id).where(TrainingSchedule.id == schedule_id))
        if schedule is None:
            raise ApiError(
                404, f"There is no schedule '{schedule_id}'.", code="schedule_not_found", param="schedule_id"
            )
        return schedule

    def list(self, workspace_id: str) -> Sequence[TrainingSchedule]:
        """The newest first."""
        with self._sessions() as session:
            return session.scalars(_schedules(workspace_id).order_by(TrainingSchedule.created_at.desc())).all()

    def update(self, workspace_id: str, schedule_id: str, values: dict[str, Any]) -> TrainingSchedule:
        """Change columns. If the time changes, the next due time is computed again within a minute."""
        self.find(workspace_id, schedule_id)
        self._check_file(workspace_id, values)
        if values.keys() & {"cron", "time_zone", "enabled"}:
            values = {**values, "next_due_at": None, "last_error": None}
        if values:
            with self._sessions.begin() as session:
                session.execute(update(TrainingSchedule).where(TrainingSchedule.id == schedule_id).values(**values))
        return self.find(workspace_id, schedule_id)

    def delete(self, workspace_id: str, schedule_id: str) -> None:
        """Delete a schedule; a run in progress continues."""
        self.find(workspace_id, schedule_id)
        with self._sessions.begin() as session:
            gone = update(TrainingSchedule).where(TrainingSchedule.id == schedule_id)
            session.execute(gone.values(deleted_at=now(), enabled=False))

    def run(self, workspace_id: str, schedule_id: str) -> Job:
        """Queue a run now, whatever the conditions say. Raises ApiError 409 if the last run is not finished."""
        schedule = self.find(workspace_id, schedule_id)
        try:
            file_id = training_file(self._sessions, schedule, self._examples)
        except NothingToTrainOn as error:
            message = f"The schedule '{schedule_id}' cannot run: {error}."
            raise ApiError(409, message, code="nothing_to_train_on", param="schedule_id") from error
        with self._sessions.begin() as session:
            job = None
            if unfinished_job(session, schedule) is None:
                job = begin_run(session, schedule, file_id, self._base_model, self._deadline)
            if job is None:
                message = f"The schedule '{schedule_id}' has a run that is not finished; wait, or cancel its job."
                raise ApiError(409, message, code="schedule_is_busy", param="schedule_id")
            run = ScheduleRun(schedule_id=schedule_id, due_at=now(), workspace_id=workspace_id, job_id=job.id)
            run.outcome = "queued: a person asked for it"
            session.add(run)
        self._dispatcher.send(job)
        return job

    def last_runs(self, workspace_id: str, schedule_ids: Sequence[str]) -> dict[str, Run]:
        """For each schedule, the latest due time that was handled."""
        ours = ScheduleRun.workspace_id == workspace_id, ScheduleRun.schedule_id.in_(schedule_ids)
        latest = select(ScheduleRun.schedule_id, func.max(ScheduleRun.due_at)).where(*ours)
        last = tuple_(ScheduleRun.schedule_id, ScheduleRun.due_at).in_(latest.group_by(ScheduleRun.schedule_id))
        query = select(ScheduleRun, Job).outerjoin(Job, Job.id == ScheduleRun.job_id).where(*ours, last)
        with self._sessions() as session:
            return {row[0].schedule_id: (row[0], row[1]) for row in session.execute(query)}

    def _check_file(self, workspace_id: str, values: dict[str, Any]) -> None:
        if values.get("training_file") is None:
            return
        file = self._files.find(workspace_id, values["training_file"])
        if file.purpose != "fine-tune":
            message = f"'{file.id}' was uploaded for '{file.purpose}'; upload it with purpose 'fine-tune'."
            raise ApiError(400, message, code="invalid_training_file", param="training_file")


def _schedules(workspace_id: str) -> Select[TrainingSchedule]:
    return select(TrainingSchedule).where(
        TrainingSchedule.workspace_id == workspace_id, TrainingSchedule.deleted_at.is_(None)
    )
