"""Jobs: what the platform is doing, and why a job is in its state."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Query

from services.contracts.jobs import JobStatus
from services.database.tables import Job
from services.domain.jobs import Jobs
from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.gateway.http.parts import part
from services.gateway.http.visibility import job_kinds
from services.gateway.jobs.bodies import event_body, job_body
from services.gateway.jobs.cancelling import Cancelling
from services.gateway.jobs.dispatch import Dispatcher

router = APIRouter(tags=["jobs"])
READ = Depends(require("knowledge", "voice", "operate", counts="reads"))
WRITE = Depends(require("knowledge", "voice", "operate", counts="writes"))
CANCELLING = part(Cancelling)
DISPATCHER = part(Dispatcher)
JOBS = part(Jobs)


def _seen(jobs: Jobs, caller: Caller, job_id: str) -> Job:
    """Raises UnknownJob for a job that does not exist, and for one of a kind that the key's scopes do not show."""
    return jobs.find(caller.workspace_id, job_id, job_kinds(caller))


@router.get("/v1/jobs")
def list_jobs(
    limit: int = Query(default=50, ge=1, le=500),
    status: JobStatus | None = None,
    caller: Caller = READ,
    jobs: Jobs = JOBS,
) -> dict[str, Any]:
    """The jobs that the key sees, the newest first; of one status if it is named."""
    found = jobs.list(caller.workspace_id, *job_kinds(caller), limit=limit, status=status)
    return {"object": "list", "data": [job_body(job) for job in found], "has_more": len(found) == limit}


@router.get("/v1/jobs/{job_id}")
def retrieve_job(job_id: str, caller: Caller = READ, jobs: Jobs = JOBS) -> dict[str, Any]:
    return job_body(_seen(jobs, caller, job_id))


@router.post("/v1/jobs/{job_id}/cancel")
def cancel_job(
    job_id: str, caller: Caller = WRITE, jobs: Jobs = JOBS, cancelling: Cancelling = CANCELLING
) -> dict[str, Any]:
    _seen(jobs, caller, job_id)
    return job_body(cancelling.cancel(caller.workspace_id, job_id))


@router.post("/v1/jobs/{job_id}/pause")
def pause_job(job_id: str, caller: Caller = WRITE, jobs: Jobs = JOBS) -> dict[str, Any]:
    """Ask a reindexing or a fine-tuning to pause. It keeps what it has done."""
    _seen(jobs, caller, job_id)
    return job_body(jobs.request_pause(caller.workspace_id, job_id))


@router.post("/v1/jobs/{job_id}/resume")
def resume_job(
    job_id: str, caller: Caller = WRITE, jobs: Jobs = JOBS, dispatcher: Dispatcher = DISPATCHER
) -> dict[str, Any]:
    """Let a paused job continue where it was."""
    _seen(jobs, caller, job_id)
    job, waits = jobs.resume(caller.workspace_id, job_id)
    if waits:
        dispatcher.send(job)
    return job_body(job)


@router.get("/v1/jobs/{job_id}/events")
def list_job_events(
    job_id: str,
    limit: int = Query(default=100, ge=1, le=1000),
    caller: Caller = READ,
    jobs: Jobs = JOBS,
) -> dict[str, Any]:
    _seen(jobs, caller, job_id)
    events = [event_body(event) for event in jobs.events(caller.workspace_id, job_id, limit)]
    return {"object": "list", "data": events, "has_more": len(events) == limit}
