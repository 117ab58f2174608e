"""Fine-tuning jobs in OpenAI's shape."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Query, Request

from services.domain.jobs import Jobs
from services.gateway.files.files import Files, check_files
from services.gateway.fine_tuning.bodies import checkpoint_body, tuning_body
from services.gateway.fine_tuning.fine_tuning import FineTuning
from services.gateway.fine_tuning.schemas import FineTuningCreate
from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.gateway.http.paging import Cursor, event_number, page
from services.gateway.http.parts import part
from services.gateway.jobs.bodies import event_body
from services.gateway.jobs.dispatch import Dispatcher

router = APIRouter(tags=["voice"])
READ = Depends(require("voice", counts="reads"))
WRITE = Depends(require("voice", counts="writes"))
DISPATCHER = part(Dispatcher)
FILES = part(Files)
FINE_TUNING = part(FineTuning)
JOBS = part(Jobs)
EVENT, METADATA = "ftevent-", "metadata["


@router.post("/v1/fine_tuning/jobs")
def create_tuning_job(
    body: FineTuningCreate, caller: Caller = WRITE, files: Files = FILES, fine_tuning: FineTuning = FINE_TUNING
) -> dict[str, Any]:
    """Queue a run on an uploaded file of examples."""
    named = {"training_file": body.training_file, "validation_file": body.validation_file}
    check_files(files, caller, **named)
    return tuning_body(fine_tuning.create(caller.workspace_id, body))


@router.get("/v1/fine_tuning/jobs")
def list_tuning_jobs(
    request: Request,
    limit: int = Query(default=20, ge=1, le=500),
    after: str | None = None,
    caller: Caller = READ,
    fine_tuning: FineTuning = FINE_TUNING,
) -> dict[str, Any]:
    """The newest first. With `metadata[key]=value`, only jobs that have it."""
    params = request.query_params
    wanted = {name[len(METADATA) : -1]: params[name] for name in params if name.startswith(METADATA)}
    jobs, more = fine_tuning.list(caller.workspace_id, Cursor(limit, after=after), wanted)
    return page([tuning_body(job) for job in jobs], more)


@router.get("/v1/fine_tuning/jobs/{job_id}")
def retrieve_tuning_job(job_id: str, caller: Caller = READ, fine_tuning: FineTuning = FINE_TUNING) -> dict[str, Any]:
    return tuning_body(fine_tuning.find(caller.workspace_id, job_id))


@router.post("/v1/fine_tuning/jobs/{job_id}/cancel")
def cancel_tuning_job(
    job_id: str, caller: Caller = WRITE, fine_tuning: FineTuning = FINE_TUNING, jobs: Jobs = JOBS
) -> dict[str, Any]:
    fine_tuning.find(caller.workspace_id, job_id)
    return tuning_body(jobs.request_cancel(caller.workspace_id, job_id))


@router.post("/v1/fine_tuning/jobs/{job_id}/pause")
def pause_tuning_job(
    job_id: str, caller: Caller = WRITE, fine_tuning: FineTuning = FINE_TUNING, jobs: Jobs = JOBS
) -> dict[str, Any]:
    """Ask a run to pause. Its process ends; after a resume it continues where it was."""
    fine_tuning.find(caller.workspace_id, job_id)
    return tuning_body(jobs.request_pause(caller.workspace_id, job_id))


@router.post("/v1/fine_tuning/jobs/{job_id}/resume")
def resume_tuning_job(
    job_id: str,
    caller: Caller = WRITE,
    fine_tuning: FineTuning = FINE_TUNING,
    jobs: Jobs = JOBS,
    dispatcher: Dispatcher = DISPATCHER,
) -> dict[str, Any]:
    fine_tuning.find(caller.workspace_id, job_id)
    job, waits = jobs.resume(caller.workspace_id, job_id)
    if waits:
        dispatcher.send(job)
    return tuning_body(job)


@router.get("/v1/fine_tuning/jobs/{job_id}/events")
def list_tuning_events(
    job_id: str,
    limit: int = Query(default=20, ge=1, le=1000),
    after: str | None = None,
    caller: Caller = READ,
    fine_tuning: FineTuning = FINE_TUNING,
) -> dict[str, Any]:
    number = event_number(after, EVENT) if after else None
    events, more = fine_tuning.events(caller.workspace_id, job_id, limit, number)
    return page([event_body(event) for event in events], more)


@router.get("/v1/fine_tuning/jobs/{job_id}/checkpoints")
def list_tuning_checkpoints(
    job_id: str,
    limit: int = Query(default=10, ge=1, le=500),
    after: str | None = None,
    caller: Caller = READ,
    fine_tuning: FineTuning = FINE_TUNING,
) -> dict[str, Any]:
    job = fine_tuning.find(caller.workspace_id, job_id)
    rows, more = fine_tuning.checkpoints(caller.workspace_id, job_id, Cursor(limit, after=after))
    return page([checkpoint_body(row, job) for row in rows], more)
