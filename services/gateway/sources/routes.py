"""Sources: register, synchronise, show."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter, Depends, Query

from services.database.tables import File, Source, SourceDocument, StoreFile
from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.gateway.http.parts import part
from services.gateway.jobs.bodies import job_body
from services.gateway.sources.schemas import SourceCreate, SourceSync, SourceUpdate
from services.gateway.sources.sources import Sources

router = APIRouter(tags=["sources"])
READ = Depends(require("operate", counts="reads"))
WRITE = Depends(require("operate", counts="writes"))
SOURCES = part(Sources)


def source_body(source: Source, counts: dict[str, int]) -> dict[str, Any]:
    return {
        "id": source.id,
        "object": "source",
        "created_at": int(source.created_at.timestamp()),
        "name": source.name,
        "kind": source.kind,
        "location": source.location,
        "vector_store_id": source.store_id,
        **source.settings,
        "schedule": {"cron": source.cron, "time_zone": source.time_zone} if source.cron else None,
        "enabled": source.enabled,
        "next_due_at": _seconds(source.next_due_at),
        "last_synced_at": _seconds(source.last_synced_at),
        "last_report": source.last_report or None,
        "last_error": source.last_error,
        "job_id": source.job_id,
        "document_counts": counts,
    }


def document_body(document: SourceDocument, file: File, row: StoreFile | None) -> dict[str, Any]:
    return {
        "id": document.key,
        "object": "source.document",
        "file_id": document.file_id,
        "former_file_id": document.former_file_id,
        "status": row.status if row else "cancelled",
        "error": row.error if row else None,
        "sha256": document.sha256,
        "bytes": document.size,
        "url": file.url,
        "changed_at": _seconds(document.changed_at),
        "seen_at": _seconds(document.seen_at),
    }


def _seconds(moment: datetime | None) -> int | None:
    return int(moment.timestamp()) if moment else None


@router.post("/v1/sources")
def create_source(body: SourceCreate, caller: Caller = WRITE, sources: Sources = SOURCES) -> dict[str, Any]:
    """Register a source. It is synchronised on request, or by its schedule."""
    source = sources.create(
        caller.workspace_id, body.vector_store_id, body.kind, body.location, {"name": body.title(), **body.columns()}
    )
    return source_body(source, sources.counts(source.id))


@router.get("/v1/sources")
def list_sources(caller: Caller = READ, sources: Sources = SOURCES) -> dict[str, Any]:
    data = [source_body(source, sources.counts(source.id)) for source in sources.list(caller.workspace_id)]
    return {"object": "list", "data": data, "has_more": False}


@router.get("/v1/sources/{source_id}")
def retrieve_source(source_id: str, caller: Caller = READ, sources: Sources = SOURCES) -> dict[str, Any]:
    return source_body(sources.find(caller.workspace_id, source_id), sources.counts(source_id))


@router.post("/v1/sources/{source_id}")
def update_source(
    source_id: str, body: SourceUpdate, caller: Caller = WRITE, sources: Sources = SOURCES
) -> dict[str, Any]:
    """Change the fields that the body names. New patterns and attributes take effect with the next sync."""
    before = sources.find(caller.workspace_id, source_id)
    source = sources.update(caller.workspace_id, source_id, body.columns(before.settings))
    return source_body(source, sources.counts(source_id))


@router.delete("/v1/sources/{source_id}")
def delete_source(
    source_id: str, documents: Literal["remove", "keep"] = "remove", caller: Caller = WRITE, sources: Sources = SOURCES
) -> dict[str, Any]:
    """Delete a source. Its documents are hidden when this returns; with `keep` they stay as files of the store."""
    job = sources.delete(caller.workspace_id, source_id, documents == "keep")
    return {"id": source_id, "object": "source", "deleted": True, "job_id": job.id if job else None}


@router.post("/v1/sources/{source_id}/sync")
def sync_source(
    source_id: str, body: SourceSync | None = None, caller: Caller = WRITE, sources: Sources = SOURCES
) -> dict[str, Any]:
    """Synchronise a source's documents now. Answers with the job, whose result is the report."""
    asked = body or SourceSync()
    return job_body(sources.sync(caller.workspace_id, source_id, asked.full, asked.confirm))


@router.get("/v1/sources/{source_id}/documents")
def list_source_documents(
    source_id: str,
    status: Literal["in_progress", "completed", "failed"] | None = None,
    limit: int = Query(default=100, ge=1, le=1000),
    after: str | None = None,
    caller: Caller = READ,
    sources: Sources = SOURCES,
) -> dict[str, Any]:
    rows, more = sources.documents(caller.workspace_id, source_id, status, limit, after)
    return {"object": "list", "data": [document_body(*row) for row in rows], "has_more": more}
