"""Jobs: what the platform is doing, and why it stands where it does."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Query, Request

from services.contracts.jobs import JobStatus
from services.database.tables import Job
from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.gateway.http.visibility import job_kinds
from services.gateway.jobs.bodies import event_body, job_body

router = APIRouter(tags=["jobs"])
READ = Depends(require("knowledge", "voice", "operate", counts="reads"))
WRITE = Depends(require("knowledge", "voice", "operate", counts="writes"))


def _seen(request: Request, caller: Caller, job_id: str) -> Job:
    """Raises UnknownJob for a job of a kind that the key's scopes do not show, as for one that is not there."""
    job: Job = request.app.state.jobs.find(caller.workspace_id, job_id, job_kinds(caller))
    return job


@router.get("/v1/jobs")
def list_jobs(
    request: Request,
    limit: int = Query(default=50, ge=1, le=500),
    status: JobStatus | None = None,
    caller: Caller = READ,
) -> dict[str, Any]:
    """The newest of the jobs that the key sees first, of one status where one is named."""
    found = request.app.state.jobs.list(caller.workspace_id, *job_kinds(caller), limit=limit, status=status)
    jobs = [job_body(job) for job in found]
    return {"object": "list", "data": jobs, "has_more": len(jobs) == limit}


@router.get("/v1/jobs/{job_id}")
def retrieve_job(request: Request, job_id: str, caller: Caller = READ) -> dict[str, Any]:
    return job_body(_seen(request, caller, job_id))


@router.post("/v1/jobs/{job_id}/cancel")
def cancel_job(request: Request, job_id: str, caller: Caller = WRITE) -> dict[str, Any]:
    _seen(request, caller, job_id)
    return job_body(request.app.state.cancelling.cancel(caller.workspace_id, job_id))


@router.post("/v1/jobs/{job_id}/pause")
def pause_job(request: Request, job_id: str, caller: Caller = WRITE) -> dict[str, Any]:
    """Ask a re-indexing or a fine-tuning to wait. It keeps what it has done."""
    _seen(request, caller, job_id)
    return job_body(request.app.state.jobs.request_pause(caller.workspace_id, job_id))


@router.post("/v1/jobs/{job_id}/resume")
def resume_job(request: Request, job_id: str, caller: Caller = WRITE) -> dict[str, Any]:
    """Let a paused job go on where it was."""
    _seen(request, caller, job_id)
    job, waits = request.app.state.jobs.resume(caller.workspace_id, job_id)
    if waits:
        request.app.state.dispatcher.send(job)
    return job_body(job)


@router.get("/v1/jobs/{job_id}/events")
def list_job_events(
    request: Request, job_id: str, limit: int = Query(default=100, ge=1, le=1000), caller: Caller = READ
) -> dict[str, Any]:
    _seen(request, caller, job_id)
    events = [event_body(event) for event in request.app.state.jobs.events(caller.workspace_id, job_id, limit)]
    return {"object": "list", "data": events, "has_more": len(events) == limit}
