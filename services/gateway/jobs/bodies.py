"""Jobs and their events, as answers of the API show them."""

from __future__ import annotations

from typing import Any

from services.database.tables import Job, JobEvent


def job_body(job: Job) -> dict[str, Any]:
    def seconds(name: str) -> float | None:
        moment = getattr(job, name)
        return moment.timestamp() if moment else None

    return {
        "id": job.id,
        "object": "job",
        "kind": job.kind,
        "status": job.status,
        "stage": job.stage,
        "progress": round(job.progress, 4),
        "eta_seconds": job.eta_seconds,
        "reason": job.reason,
        "request": job.request,
        "result": job.result,
        "cancel_requested": job.cancel_requested,
        "pause_requested": job.pause_requested,
        **{name: seconds(name) for name in ("created_at", "started_at", "finished_at", "heartbeat_at", "deadline_at")},
    }


def event_body(event: JobEvent) -> dict[str, Any]:
    return {
        "id": f"ftevent-{event.id}",
        "object": "fine_tuning.job.event",
        "created_at": int(event.created_at.timestamp()),
        "level": event.level,
        "message": event.message,
        "data": event.data,
        "type": "metrics" if event.data else "message",
    }
