"""Schedules of retraining."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from services.database.tables import TrainingSchedule
from services.gateway.files.files import Files, check_files
from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.gateway.http.parts import part
from services.gateway.jobs.bodies import job_body
from services.gateway.schedules.schedules import Run, Schedules
from services.gateway.schedules.schemas import ScheduleCreate, ScheduleUpdate

router = APIRouter(tags=["voice"])
READ = Depends(require("voice", counts="reads"))
WRITE = Depends(require("voice", counts="writes"))
FILES = part(Files)
SCHEDULES = part(Schedules)


def schedule_body(schedule: TrainingSchedule, last_run: Run | None) -> dict[str, Any]:
    next_due = schedule.next_due_at
    return {
        "id": schedule.id,
        "object": "schedule",
        "name": schedule.name,
        "schedule": {"cron": schedule.cron, "time_zone": schedule.time_zone},
        "conditions": schedule.conditions,
        "training_file": schedule.training_file,
        "hyperparameters": schedule.hyperparameters,
        "suffix": schedule.suffix,
        "seed": schedule.seed,
        "enabled": schedule.enabled,
        "next_due_at": int(next_due.timestamp()) if next_due else None,
        "last_run": run_body(last_run) if last_run else None,
        "last_error": schedule.last_error,
        "created_at": int(schedule.created_at.timestamp()),
    }


def run_body(run: Run) -> dict[str, Any]:
    taken, job = run
    how = {"status": job.status, "reason": job.reason} if job else {"status": "skipped", "reason": None}
    return {"due_at": int(taken.due_at.timestamp()), "outcome": taken.outcome, "job_id": taken.job_id, **how}


def _body(schedule: TrainingSchedule, schedules: Schedules) -> dict[str, Any]:
    runs = schedules.last_runs(schedule.workspace_id, [schedule.id])
    return schedule_body(schedule, runs.get(schedule.id))


@router.post("/v1/schedules")
def create_schedule(
    body: ScheduleCreate,
    caller: Caller = WRITE,
    files: Files = FILES,
    schedules: Schedules = SCHEDULES,
) -> dict[str, Any]:
    """Retrain at set times. The first due time is computed within a minute."""
    check_files(files, caller, training_file=body.training_file)
    return _body(schedules.create(caller.workspace_id, body.columns()), schedules)


@router.get("/v1/schedules")
def list_schedules(caller: Caller = READ, schedules: Schedules = SCHEDULES) -> dict[str, Any]:
    found = schedules.list(caller.workspace_id)
    runs = schedules.last_runs(caller.workspace_id, [schedule.id for schedule in found])
    data = [schedule_body(schedule, runs.get(schedule.id)) for schedule in found]
    return {"object": "list", "data": data, "has_more": False}


@router.get("/v1/schedules/{schedule_id}")
def retrieve_schedule(schedule_id: str, caller: Caller = READ, schedules: Schedules = SCHEDULES) -> dict[str, Any]:
    """A schedule with its next due time and the result of the last one."""
    return _body(schedules.find(caller.workspace_id, schedule_id), schedules)


@router.post("/v1/schedules/{schedule_id}")
def update_schedule(
    schedule_id: str,
    body: ScheduleUpdate,
    caller: Caller = WRITE,
    files: Files = FILES,
    schedules: Schedules = SCHEDULES,
) -> dict[str, Any]:
    """Change the fields that the body names."""
    check_files(files, caller, training_file=body.training_file)
    return _body(schedules.update(caller.workspace_id, schedule_id, body.columns()), schedules)


@router.delete("/v1/schedules/{schedule_id}")
def delete_schedule(schedule_id: str, caller: Caller = WRITE, schedules: Schedules = SCHEDULES) -> dict[str, Any]:
    schedules.delete(caller.workspace_id, schedule_id)
    return {"id": schedule_id, "object": "schedule", "deleted": True}


@router.post("/v1/schedules/{schedule_id}/run")
def run_schedule(schedule_id: str, caller: Caller = WRITE, schedules: Schedules = SCHEDULES) -> dict[str, Any]:
    """Queue a run now, whatever the conditions say. Answers with the job."""
    return job_body(schedules.run(caller.workspace_id, schedule_id))
