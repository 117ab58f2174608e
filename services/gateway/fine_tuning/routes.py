"""Fine-tuning jobs in OpenAI's shape."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Query, Request

from services.database.tables import Checkpoint, Job
from services.gateway.files.files import check_files
from services.gateway.fine_tuning.schemas import FineTuningCreate
from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.gateway.http.paging import Cursor, event_number, page
from services.gateway.jobs.bodies import event_body

router = APIRouter(tags=["voice"])
READ = Depends(require("voice", counts="reads"))
WRITE = Depends(require("voice", counts="writes"))
EVENT, METADATA = "ftevent-", "metadata["


def tuning_body(job: Job) -> dict[str, Any]:
    """OpenAI's `fine_tuning.job`, with the stage, progress, ETA and reason of ours beside it, and how many questions
    the gate `asked`, by where they are from."""
    asked, made = job.request, job.result
    failed = job.status == "failed"
    error = {"code": "job_failed", "message": job.reason or "", "param": None} if failed else None
    hyperparameters, method = asked["hyperparameters"], asked.get("method", "supervised")
    finish = job.heartbeat_at.timestamp() + job.eta_seconds if job.eta_seconds and job.heartbeat_at else None
    return {
        "id": job.id,
        "object": "fine_tuning.job",
        "created_at": int(job.created_at.timestamp()),
        "finished_at": int(job.finished_at.timestamp()) if job.finished_at else None,
        "model": asked["model"],
        "fine_tuned_model": made.get("version"),
        "organization_id": job.workspace_id,
        "result_files": made.get("result_files", []),
        "status": job.status,
        "training_file": asked["training_file"],
        "validation_file": asked.get("validation_file"),
        "trained_tokens": made.get("trained_tokens"),
        "hyperparameters": hyperparameters,
        "method": {"type": method, method: {"hyperparameters": hyperparameters}},
        "seed": asked["seed"],
        "metadata": asked.get("metadata"),
        "integrations": [],
        "error": error,
        "estimated_finish": int(finish) if finish and job.status == "running" else None,
        "stage": job.stage,
        "progress": round(job.progress, 4),
        "eta_seconds": job.eta_seconds,
        "reason": job.reason,
        "live": made.get("live"),
        "asked": made.get("asked"),
    }


def checkpoint_body(checkpoint: Checkpoint, job: Job) -> dict[str, Any]:
    """OpenAI's `fine_tuning.job.checkpoint`. It is for going on from: its name does not answer."""
    measured, asked = checkpoint.metrics, job.request
    base = asked["model"].split(":")[1] if asked.get("from_version") else asked["model"]
    return {
        "id": checkpoint.id,
        "object": "fine_tuning.job.checkpoint",
        "created_at": int(checkpoint.created_at.timestamp()),
        "fine_tuning_job_id": job.id,
        "fine_tuned_model_checkpoint": f"ft:{base}:{asked['suffix']}:{job.id}:ckpt-step-{checkpoint.step}",
        "step_number": checkpoint.step,
        "metrics": {
            "step": checkpoint.step,
            "train_loss": measured["train_loss"],
            "train_mean_token_accuracy": measured["train_accuracy"],
            "valid_loss": measured["valid_loss"],
            "valid_mean_token_accuracy": measured["valid_accuracy"],
        },
    }


@router.post("/v1/fine_tuning/jobs")
def create_tuning_job(request: Request, body: FineTuningCreate, caller: Caller = WRITE) -> dict[str, Any]:
    """Queue a run on an uploaded file of examples."""
    named = {"training_file": body.training_file, "validation_file": body.validation_file}
    check_files(request.app.state.files, caller, **named)
    return tuning_body(request.app.state.fine_tuning.create(caller.workspace_id, body))


@router.get("/v1/fine_tuning/jobs")
def list_tuning_jobs(
    request: Request,
    limit: int = Query(default=20, ge=1, le=500),
    after: str | None = None,
    caller: Caller = READ,
) -> dict[str, Any]:
    """The newest first. `metadata[key]=value` leaves out the jobs without it."""
    params = request.query_params
    wanted = {name[len(METADATA) : -1]: params[name] for name in params if name.startswith(METADATA)}
    jobs, more = request.app.state.fine_tuning.list(caller.workspace_id, Cursor(limit, after=after), wanted)
    return page([tuning_body(job) for job in jobs], more)


@router.get("/v1/fine_tuning/jobs/{job_id}")
def retrieve_tuning_job(request: Request, job_id: str, caller: Caller = READ) -> dict[str, Any]:
    return tuning_body(request.app.state.fine_tuning.find(caller.workspace_id, job_id))


@router.post("/v1/fine_tuning/jobs/{job_id}/cancel")
def cancel_tuning_job(request: Request, job_id: str, caller: Caller = WRITE) -> dict[str, Any]:
    request.app.state.fine_tuning.find(caller.workspace_id, job_id)
    return tuning_body(request.app.state.jobs.request_cancel(caller.workspace_id, job_id))


@router.post("/v1/fine_tuning/jobs/{job_id}/pause")
def pause_tuning_job(request: Request, job_id: str, caller: Caller = WRITE) -> dict[str, Any]:
    """Ask a run to wait: its process ends, and it goes on from where it was."""
    request.app.state.fine_tuning.find(caller.workspace_id, job_id)
    return tuning_body(request.app.state.jobs.request_pause(caller.workspace_id, job_id))


@router.post("/v1/fine_tuning/jobs/{job_id}/resume")
def resume_tuning_job(request: Request, job_id: str, caller: Caller = WRITE) -> dict[str, Any]:
    request.app.state.fine_tuning.find(caller.workspace_id, job_id)
    job, waits = request.app.state.jobs.resume(caller.workspace_id, job_id)
    if waits:
        request.app.state.dispatcher.send(job)
    return tuning_body(job)


@router.get("/v1/fine_tuning/jobs/{job_id}/events")
def list_tuning_events(
    request: Request,
    job_id: str,
    limit: int = Query(default=20, ge=1, le=1000),
    after: str | None = None,
    caller: Caller = READ,
) -> dict[str, Any]:
    number = event_number(after, EVENT) if after else None
    events, more = request.app.state.fine_tuning.events(caller.workspace_id, job_id, limit, number)
    return page([event_body(event) for event in events], more)


@router.get("/v1/fine_tuning/jobs/{job_id}/checkpoints")
def list_tuning_checkpoints(
    request: Request,
    job_id: str,
    limit: int = Query(default=10, ge=1, le=500),
    after: str | None = None,
    caller: Caller = READ,
) -> dict[str, Any]:
    fine_tuning = request.app.state.fine_tuning
    job = fine_tuning.find(caller.workspace_id, job_id)
    rows, more = fine_tuning.checkpoints(caller.workspace_id, job_id, Cursor(limit, after=after))
    return page([checkpoint_body(row, job) for row in rows], more)
