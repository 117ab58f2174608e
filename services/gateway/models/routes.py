"""Model names that answer now."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool

from services.gateway.answering.models import served
from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.kit.errors import ApiError

router = APIRouter(tags=["ask"])
READ = Depends(require("ask", counts="reads"))


@router.get("/v1/models")
@router.get("/v1/models/", include_in_schema=False)
async def list_models(request: Request, caller: Caller = READ) -> dict[str, Any]:
    """What answers now: the modes whose weights are served, and every version of the workspace by name."""
    state = request.app.state
    modes = served(await state.slots.table(), caller.workspace_id)
    names = await run_in_threadpool(state.versions.names, caller.workspace_id)
    data = [{"id": name, "object": "model", "created": 0, "owned_by": "tandem"} for name in [*modes, *names]]
    return {"object": "list", "data": data}


@router.get("/v1/models/{name:path}")
async def retrieve_model(request: Request, name: str, caller: Caller = READ) -> dict[str, Any]:
    for model in (await list_models(request, caller))["data"]:
        if model["id"] == name:
            found: dict[str, Any] = model
            return found
    raise ApiError(404, f"The model '{name}' does not exist, or its weights are not served.", code="model_not_found")
