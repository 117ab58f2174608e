"""Model names that answer now."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from starlette.concurrency import run_in_threadpool

from services.gateway.answering.models import served
from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.gateway.http.parts import part
from services.gateway.upstream.slots import Slots
from services.gateway.versions.versions import Versions
from services.kit.errors import ApiError

router = APIRouter(tags=["ask"])
READ = Depends(require("ask", counts="reads"))
SLOTS = part(Slots)
VERSIONS = part(Versions)


@router.get("/v1/models")
@router.get("/v1/models/", include_in_schema=False)
async def list_models(caller: Caller = READ, slots: Slots = SLOTS, versions: Versions = VERSIONS) -> dict[str, Any]:
    """The model names that answer now: modes whose weights are served, and every version of the workspace by name."""
    names = await _served(slots, versions, caller.workspace_id)
    return {"object": "list", "data": [_model_body(name) for name in names]}


@router.get("/v1/models/{name:path}")
async def retrieve_model(
    name: str, caller: Caller = READ, slots: Slots = SLOTS, versions: Versions = VERSIONS
) -> dict[str, Any]:
    served_now = await _served(slots, versions, caller.workspace_id)
    if name in served_now:
        return _model_body(name)
    raise ApiError(404, f"The model '{name}' does not exist, or its weights are not served.", code="model_not_found")


async def _served(slots: Slots, versions: Versions, workspace_id: str) -> list[str]:
    modes = served(await slots.table(), workspace_id)
    return [*modes, *await run_in_threadpool(versions.names, workspace_id)]


def _model_body(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "tandem"}
