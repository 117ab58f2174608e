"""Versions: their lineage, which one is live and why; publish, roll back, pin, try on a share of questions, delete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from services.database.tables import Version
from services.domain.jobs import Jobs
from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.gateway.http.paging import Cursor, cursor, event_number, page
from services.gateway.http.parts import part
from services.gateway.upstream.slots import Slots
from services.gateway.versions.bodies import PUBLICATION, publication_body, version_body
from services.gateway.versions.schemas import CanaryCreate, Reasoned, VersionPublish
from services.gateway.versions.versions import Versions
from services.kit.errors import ApiError

router = APIRouter(tags=["voice"])
READ = Depends(require("voice", "operate", counts="reads"))
WRITE = Depends(require("operate", counts="writes"))
JOBS = part(Jobs)
SLOTS = part(Slots)
VERSIONS = part(Versions)


def _bodies(versions: Versions, workspace_id: str, found: Sequence[Version]) -> list[dict[str, Any]]:
    pointer, canary = versions.pointer(workspace_id), versions.canary(workspace_id)
    events = versions.events_of(workspace_id, [version.id for version in found])
    return [version_body(version, pointer, canary, events[version.id]) for version in found]


@router.get("/v1/versions")
def list_versions(
    wanted: Cursor = Depends(cursor), caller: Caller = READ, versions: Versions = VERSIONS
) -> dict[str, Any]:
    found, more = versions.page(caller.workspace_id, wanted)
    return page(_bodies(versions, caller.workspace_id, found), more)


@router.get("/v1/versions/history")
def list_history(
    limit: int = Query(default=20, ge=1, le=100),
    after: str | None = None,
    caller: Caller = READ,
    versions: Versions = VERSIONS,
) -> dict[str, Any]:
    """Every move of the live pointer and every canary, the newest first: when, by whom, and why."""
    number = event_number(after, PUBLICATION) if after is not None else None
    events, more = versions.history(caller.workspace_id, limit, number)
    return {"object": "list", "data": [publication_body(*event) for event in events], "has_more": more}


@router.post("/v1/versions/rollback")
async def rollback(body: Reasoned | None = None, caller: Caller = WRITE, slots: Slots = SLOTS) -> JSONResponse:
    """Make the previous version live again: at once if its slot is warm, otherwise when it has loaded (202).

    From the first version that was ever live, the rollback goes to the base weights.
    """
    order = {"workspace_id": caller.workspace_id, "by": caller.key_id, "reason": body.reason if body else ""}
    return await _order(slots, "/rollback", order)


@router.post("/v1/versions/{name:path}/publish")
async def publish(
    name: str,
    body: VersionPublish | None = None,
    caller: Caller = WRITE,
    versions: Versions = VERSIONS,
    slots: Slots = SLOTS,
) -> JSONResponse:
    """Make a version live. One that no slot serves is loaded first: the answer is 202; call again when it is loaded."""
    asked = body or VersionPublish()
    version = await run_in_threadpool(versions.find, caller.workspace_id, name)
    order = _named(version, asked, versions.check_passed(version, asked.override), caller)
    table = await slots.table(fresh=True)
    live = table.live.get(caller.workspace_id)
    if version.id not in table.versions and not (live and live.version_id == version.id):
        load = {"workspace_id": caller.workspace_id, "version_id": version.id, "replace": True}
        return _loading(version, await _order(slots, "/load", load))
    return await _order(slots, "/publish", order)


@router.post("/v1/versions/{name:path}/pin")
def pin(name: str, caller: Caller = WRITE, versions: Versions = VERSIONS) -> dict[str, Any]:
    """Protect a version from deletion and from clearing, whatever becomes live."""
    return _pinned(versions, caller, name, True)


@router.post("/v1/versions/{name:path}/unpin")
def unpin(name: str, caller: Caller = WRITE, versions: Versions = VERSIONS) -> dict[str, Any]:
    return _pinned(versions, caller, name, False)


def _pinned(versions: Versions, caller: Caller, name: str, pinned: bool) -> dict[str, Any]:
    version = versions.pin(caller.workspace_id, name, pinned)
    return _bodies(versions, caller.workspace_id, [version])[0]


@router.post("/v1/versions/{name:path}/canary")
async def start_canary(
    name: str,
    body: CanaryCreate,
    caller: Caller = WRITE,
    versions: Versions = VERSIONS,
    jobs: Jobs = JOBS,
    slots: Slots = SLOTS,
) -> JSONResponse:
    """Try a version on a share of the live version's questions. The answer is 202; the canary begins when it has
    loaded.
    """
    version = await run_in_threadpool(versions.find, caller.workspace_id, name)
    order = _named(version, body, versions.check_passed(version, body.override), caller)
    training = await run_in_threadpool(jobs.training_now)
    return _loading(
        version,
        await _order(slots, "/canary", {**order, **versions.canary_bounds(body), "replace": not training}),
    )


@router.delete("/v1/versions/{name:path}/canary")
async def end_canary(
    name: str, caller: Caller = WRITE, versions: Versions = VERSIONS, slots: Slots = SLOTS
) -> JSONResponse:
    """End a canary: the live version answers everything again."""
    version = await run_in_threadpool(versions.find, caller.workspace_id, name)
    canary = await run_in_threadpool(versions.canary, caller.workspace_id)
    if canary is None or canary.version_id != version.id:
        raise ApiError(409, f"'{version.name}' is not tried as a canary.", code="no_canary", param="name")
    order = {"workspace_id": caller.workspace_id, "canary_id": canary.id, "by": caller.key_id}
    return await _order(slots, "/canary/end", {**order, "reason": "Ended by a person."})


@router.get("/v1/versions/{name:path}")
def retrieve_version(name: str, caller: Caller = READ, versions: Versions = VERSIONS) -> dict[str, Any]:
    """A version with its lineage, figures, gate report and history."""
    version = versions.find(caller.workspace_id, name)
    return _bodies(versions, caller.workspace_id, [version])[0]


@router.delete("/v1/versions/{name:path}")
def delete_version(name: str, caller: Caller = WRITE, versions: Versions = VERSIONS) -> dict[str, Any]:
    """Delete a version's weights. Its row stays, with lineage, figures and history."""
    version = versions.remove(caller.workspace_id, name)
    return {"id": version.id, "object": "version", "deleted": True}


def _named(version: Version, asked: VersionPublish, overrides: bool, caller: Caller) -> dict[str, Any]:
    order = {"workspace_id": caller.workspace_id, "version_id": version.id, "by": caller.key_id}
    return {**order, "reason": asked.reason, "overrides": overrides}


def _loading(version: Version, answer: JSONResponse) -> JSONResponse:
    content = {"status": "loading", "version": version.name, "retry_after_seconds": 10}
    return JSONResponse(content, status_code=202) if answer.status_code < 300 else answer


async def _order(slots: Slots, path: str, body: dict[str, Any]) -> JSONResponse:
    status, content = await slots.order(path, body)
    return JSONResponse(content, status_code=status)
