"""Versions: where they come from, which one is live and why; publish, roll back, pin, try on a share, delete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from services.database.tables import Canary, LivePointer, Publication, Version
from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.gateway.http.paging import Cursor, cursor, event_number
from services.gateway.settings import GatewaySettings
from services.gateway.versions.schemas import CanaryCreate, Reasoned, VersionPublish
from services.kit.errors import ApiError

router = APIRouter(tags=["voice"])
READ = Depends(require("voice", "operate", counts="reads"))
WRITE = Depends(require("operate", counts="writes"))
PUBLICATION = "pub-"
LINEAGE = ("data_set_id", "from_version", "code_version", "seed", "weights")


def version_body(
    version: Version, pointer: LivePointer | None, canary: Canary | None, events: Sequence[Publication]
) -> dict[str, Any]:
    return {
        "id": version.id,
        "object": "version",
        "name": version.name,
        "status": version.status,
        "live": bool(pointer and pointer.version_id == version.id),
        "previous": bool(pointer and pointer.previous_version_id == version.id),
        "pinned": version.pinned,
        "canary": canary_body(canary) if canary and canary.version_id == version.id else None,
        "base_model": version.base_model,
        "job_id": version.job_id,
        "dataset_hash": version.dataset_hash,
        "template_fingerprint": version.template_fingerprint,
        **{name: version.lineage.get(name) for name in LINEAGE},
        "settings": version.settings,
        "metrics": version.metrics,
        "gate": version.gate,
        "history": [publication_body(event, version.name) for event in events],
        "created_at": int(version.created_at.timestamp()),
    }


def canary_body(canary: Canary) -> dict[str, Any]:
    fields = ("share", "margin", "min_requests", "promote_after", "answers", "errors", "live_answers", "live_errors")
    shown = {name: getattr(canary, name) for name in fields}
    return {"id": canary.id, "object": "canary", "created_at": int(canary.created_at.timestamp()), **shown}


def publication_body(event: Publication, name: str | None) -> dict[str, Any]:
    return {
        "id": f"{PUBLICATION}{event.id}",
        "object": "version.event",
        "event": event.event,
        "version": name,
        "version_id": event.version_id,
        "from_version_id": event.from_version_id,
        "why": event.why,
        "by": event.by,
        "overrides": event.overrides,
        "reason": event.reason,
        "figures": event.figures,
        "created_at": int(event.created_at.timestamp()),
    }


def _bodies(request: Request, workspace_id: str, found: Sequence[Version]) -> list[dict[str, Any]]:
    versions = request.app.state.versions
    pointer, canary = versions.pointer(workspace_id), versions.canary(workspace_id)
    events = versions.events_of(workspace_id, [version.id for version in found])
    return [version_body(version, pointer, canary, events[version.id]) for version in found]


@router.get("/v1/versions")
def list_versions(request: Request, page: Cursor = Depends(cursor), caller: Caller = READ) -> dict[str, Any]:
    found, more = request.app.state.versions.page(caller.workspace_id, page)
    data = _bodies(request, caller.workspace_id, found)
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": more}


@router.get("/v1/versions/history")
def list_history(
    request: Request, limit: int = Query(default=20, ge=1, le=100), after: str | None = None, caller: Caller = READ
) -> dict[str, Any]:
    """Every move of the live pointer and every canary, the newest first: when, by whom, and why."""
    number = event_number(after, PUBLICATION) if after is not None else None
    events, more = request.app.state.versions.history(caller.workspace_id, limit, number)
    return {"object": "list", "data": [publication_body(*event) for event in events], "has_more": more}


@router.post("/v1/versions/rollback")
async def rollback(request: Request, body: Reasoned | None = None, caller: Caller = WRITE) -> JSONResponse:
    """Make the previous version live again: at once where its slot is warm, else when it has loaded (202).

    From the first version that was ever live the way back is to the base weights.
    """
    order = {"workspace_id": caller.workspace_id, "by": caller.key_id, "reason": body.reason if body else ""}
    return await _order(request, "/rollback", order)


@router.post("/v1/versions/{name:path}/publish")
async def publish(
    request: Request, name: str, body: VersionPublish | None = None, caller: Caller = WRITE
) -> JSONResponse:
    """Make a version live. One that no slot serves is loaded first: 202, call again when it answers."""
    asked, versions = body or VersionPublish(), request.app.state.versions
    version = await run_in_threadpool(versions.find, caller.workspace_id, name)
    order = _named(version, asked, versions.check_passed(version, asked.override), caller)
    table = await request.app.state.slots.table(fresh=True)
    live = table.live.get(caller.workspace_id)
    if version.id not in table.versions and not (live and live.version_id == version.id):
        load = {"workspace_id": caller.workspace_id, "version_id": version.id, "replace": True}
        return _loading(version, await _order(request, "/load", load))
    return await _order(request, "/publish", order)


@router.post("/v1/versions/{name:path}/pin")
def pin(request: Request, name: str, caller: Caller = WRITE) -> dict[str, Any]:
    """Keep a version from being deleted or cleared away, whatever becomes live."""
    return _pinned(request, name, caller, True)


@router.post("/v1/versions/{name:path}/unpin")
def unpin(request: Request, name: str, caller: Caller = WRITE) -> dict[str, Any]:
    return _pinned(request, name, caller, False)


def _pinned(request: Request, name: str, caller: Caller, pinned: bool) -> dict[str, Any]:
    version = request.app.state.versions.pin(caller.workspace_id, name, pinned)
    return _bodies(request, caller.workspace_id, [version])[0]


@router.post("/v1/versions/{name:path}/canary")
async def start_canary(request: Request, name: str, body: CanaryCreate, caller: Caller = WRITE) -> JSONResponse:
    """Try a version on a share of the questions that the live one would answer: 202, it begins when it has loaded."""
    state = request.app.state
    version = await run_in_threadpool(state.versions.find, caller.workspace_id, name)
    order = _named(version, body, state.versions.check_passed(version, body.override), caller)
    training = await run_in_threadpool(state.jobs.training_now)
    return _loading(
        version, await _order(request, "/canary", {**order, **_bounds(body, state.settings), "replace": not training})
    )


@router.delete("/v1/versions/{name:path}/canary")
async def end_canary(request: Request, name: str, caller: Caller = WRITE) -> JSONResponse:
    """End a canary: the live version answers everything again."""
    versions = request.app.state.versions
    version = await run_in_threadpool(versions.find, caller.workspace_id, name)
    canary = await run_in_threadpool(versions.canary, caller.workspace_id)
    if canary is None or canary.version_id != version.id:
        raise ApiError(409, f"'{version.name}' is not tried as a canary.", code="no_canary", param="name")
    order = {"workspace_id": caller.workspace_id, "canary_id": canary.id, "by": caller.key_id}
    return await _order(request, "/canary/end", {**order, "reason": "Ended by a person."})


@router.get("/v1/versions/{name:path}")
def retrieve_version(request: Request, name: str, caller: Caller = READ) -> dict[str, Any]:
    """A version with its lineage, figures, the gate's report and its history."""
    version = request.app.state.versions.find(caller.workspace_id, name)
    return _bodies(request, caller.workspace_id, [version])[0]


@router.delete("/v1/versions/{name:path}")
def delete_version(request: Request, name: str, caller: Caller = WRITE) -> dict[str, Any]:
    """Give up a version's weights. Its row stays, with lineage, figures and history."""
    version = request.app.state.versions.remove(caller.workspace_id, name)
    return {"id": version.id, "object": "version", "deleted": True}


def _named(version: Version, asked: VersionPublish, overrides: bool, caller: Caller) -> dict[str, Any]:
    order = {"workspace_id": caller.workspace_id, "version_id": version.id, "by": caller.key_id}
    return {**order, "reason": asked.reason, "overrides": overrides}


def _bounds(body: CanaryCreate, settings: GatewaySettings) -> dict[str, Any]:
    """How a canary is judged; what the body leaves out is as the settings have it."""
    least = body.min_requests or settings.canary_min_requests
    if body.promote_after and body.promote_after < least:
        message = f"`promote_after` is below `min_requests` ({least}), so errors would not be judged before."
        raise ApiError(400, message, code="invalid_value", param="promote_after")
    margin = settings.canary_margin if body.margin is None else body.margin
    return {"share": body.share, "margin": margin, "min_requests": least, "promote_after": body.promote_after}


def _loading(version: Version, answer: JSONResponse) -> JSONResponse:
    content = {"status": "loading", "version": version.name, "retry_after_seconds": 10}
    return JSONResponse(content, status_code=202) if answer.status_code < 300 else answer


async def _order(request: Request, path: str, body: dict[str, Any]) -> JSONResponse:
    status, content = await request.app.state.slots.order(path, body)
    return JSONResponse(content, status_code=status)
