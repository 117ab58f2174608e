"""Versions of the weights."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from services.database.tables import LivePointer, Version
from services.gateway.keys import Caller, require

router = APIRouter(tags=["voice"])
VOICE = Depends(require("voice"))


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
