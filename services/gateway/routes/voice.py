"""Fine-tuning jobs in OpenAI's shape, and versions of the weights."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse

from services.contracts.jobs import JobKind
from services.database.tables import Job, LivePointer, Version
from services.gateway.keys import Caller, require
from services.gateway.routes.work import event_body
from services.gateway.schemas import FineTuningCreate
from services.kit.errors import ApiError

router = APIRouter(tags=["voice"])
VOICE = Depends(require("voice"))
FINE_TUNING: JobKind = "fine_tuning"


def tuning_body(job: Job) -> dict[str, Any]:
    """OpenAI's `fine_tuning.job`, with the stage, progress, ETA and reason of ours beside it."""
    asked, made = job.request, job.result
    failed = job.status == "failed"
    error = {"code": "job_failed", "message": job.reason or "", "param": None} if failed else None
    hyperparameters = asked["hyperparameters"]
    return {
        "id": job.id,
        "object": "fine_tuning.job",
        "created_at": int(job.created_at.timestamp()),
        "finished_at": int(job.finished_at.timestamp()) if job.finished_at else None,
        "model": asked["model"],
        "fine_tuned_model": made.get("version"),
        "organization_id": job.workspace_id,
        "result_files": [],
        "status": job.status,
        "training_file": asked["training_file"],
        "validation_file": None,
        "trained_tokens": made.get("trained_tokens"),
        "hyperparameters": hyperparameters,
        "method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
        "seed": asked["seed"],
        "error": error,
        "estimated_finish": int(job.heartbeat_at.timestamp() + job.eta_seconds)
        if job.eta_seconds and job.heartbeat_at
        else None,
        "stage": job.stage,
        "progress": round(job.progress, 4),
        "eta_seconds": job.eta_seconds,
        "reason": job.reason,
        "live": made.get("live"),
    }


def version_body(version: Version, pointer: LivePointer | None) -> dict[str, Any]:
    return {
        "id": version.id,
        "object": "version",
        "name": version.name,
        "status": version.status,
        "live": bool(pointer and pointer.version_id == version.id),
        "previous": bool(pointer and pointer.previous_version_id == version.id),
        "base_model": version.base_model,
        "job_id": version.job_id,
        "dataset_hash": version.dataset_hash,
        "template_fingerprint": version.template_fingerprint,
        "settings": version.settings,
        "metrics": version.metrics,
        "gate": version.gate,
        "created_at": int(version.created_at.timestamp()),
    }


@router.post("/v1/fine_tuning/jobs")
def create_tuning_job(request: Request, body: FineTuningCreate, caller: Caller = VOICE) -> dict[str, Any]:
    """Queue a run on an uploaded file of examples."""
    state = request.app.state
    file = state.files.find(caller.workspace_id, body.training_file)
    if file.purpose != "fine-tune":
        message = f"'{file.id}' was uploaded for '{file.purpose}'; upload it with purpose 'fine-tune'."
        raise ApiError(400, message, code="invalid_training_file", param="training_file")
    name = state.settings.model_aliases.get(body.model, body.model)
    if name not in (state.base_model, "tandem/base", "tandem/hybrid", "default"):
        message = f"The model '{body.model}' cannot be tuned here; the base model is '{state.base_model}'."
        raise ApiError(404, message, code="model_not_found", param="model")
    state.data_sets.check_training(caller.workspace_id, file.id)
    asked = {
        "model": state.base_model,
        "training_file": file.id,
        "suffix": body.suffix or "tandem",
        "seed": body.seed if body.seed is not None else 17,
        "hyperparameters": body.chosen().model_dump(),
    }
    return tuning_body(state.dispatcher.start(caller.workspace_id, FINE_TUNING, asked))


@router.get("/v1/fine_tuning/jobs")
def list_tuning_jobs(
    request: Request, limit: int = Query(default=20, ge=1, le=500), caller: Caller = VOICE
) -> dict[str, Any]:
    jobs = request.app.state.jobs.list(caller.workspace_id, FINE_TUNING, limit)
    return {"object": "list", "data": [tuning_body(job) for job in jobs], "has_more": len(jobs) == limit}


def _tuning_job(request: Request, caller: Caller, job_id: str) -> Job:
    job: Job = request.app.state.jobs.find(caller.workspace_id, job_id)
    if job.kind != FINE_TUNING:
        raise ApiError(404, f"There is no fine-tuning job '{job_id}'.", code="job_not_found", param="id")
    return job


@router.get("/v1/fine_tuning/jobs/{job_id}")
def retrieve_tuning_job(request: Request, job_id: str, caller: Caller = VOICE) -> dict[str, Any]:
    return tuning_body(_tuning_job(request, caller, job_id))


@router.post("/v1/fine_tuning/jobs/{job_id}/cancel")
def cancel_tuning_job(request: Request, job_id: str, caller: Caller = VOICE) -> dict[str, Any]:
    _tuning_job(request, caller, job_id)
    return tuning_body(request.app.state.jobs.request_cancel(caller.workspace_id, job_id))


@router.get("/v1/fine_tuning/jobs/{job_id}/events")
def list_tuning_events(
    request: Request,
    job_id: str,
    limit: int = Query(default=20, ge=1, le=1000),
    after: str | None = None,
    caller: Caller = VOICE,
) -> dict[str, Any]:
    _tuning_job(request, caller, job_id)
    number = int(after.removeprefix("ftevent-")) if after and after.removeprefix("ftevent-").isdigit() else None
    events = request.app.state.jobs.events(caller.workspace_id, job_id, limit, number)
    return {"object": "list", "data": [event_body(event) for event in events], "has_more": len(events) == limit}


@router.get("/v1/versions")
def list_versions(request: Request, caller: Caller = VOICE) -> dict[str, Any]:
    versions = request.app.state.versions
    pointer = versions.pointer(caller.workspace_id)
    data = [version_body(version, pointer) for version in versions.list(caller.workspace_id)]
    return {"object": "list", "data": data, "has_more": False}


@router.post("/v1/versions/rollback")
async def rollback(request: Request, caller: Caller = Depends(require("operate"))) -> JSONResponse:
    """Make the previous version live again: at once where its slot is warm, else when it has loaded (202)."""
    return await _order(request, "/rollback", {"workspace_id": caller.workspace_id})


@router.get("/v1/versions/{name:path}")
def retrieve_version(request: Request, name: str, caller: Caller = VOICE) -> dict[str, Any]:
    versions = request.app.state.versions
    return version_body(versions.find(caller.workspace_id, name), versions.pointer(caller.workspace_id))


@router.post("/v1/versions/{name:path}/publish")
async def publish(request: Request, name: str, caller: Caller = Depends(require("operate"))) -> JSONResponse:
    """Make a version live. One that no slot serves is loaded first: 202, call again when it answers."""
    version = request.app.state.versions.find(caller.workspace_id, name)
    table = await request.app.state.slots.table(fresh=True)
    body = {"workspace_id": caller.workspace_id, "version_id": version.id}
    live = table.live.get(caller.workspace_id)
    if version.id not in table.versions and not (live and live.version_id == version.id):
        loaded = await _order(request, "/load", {**body, "replace": True})
        content = {"status": "loading", "version": version.name, "retry_after_seconds": 10}
        return JSONResponse(content, status_code=202) if loaded.status_code < 300 else loaded
    return await _order(request, "/publish", body)


async def _order(request: Request, path: str, body: dict[str, Any]) -> JSONResponse:
    status, content = await request.app.state.slots.order(path, body)
    return JSONResponse(content, status_code=status)
