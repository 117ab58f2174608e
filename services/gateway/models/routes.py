"""Models and embeddings."""

from __future__ import annotations

import base64
import struct
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool

from services.gateway.answering.models import served
from services.gateway.chat.schemas import EmbeddingsRequest
from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.kit.errors import ApiError

router = APIRouter(tags=["ask"])
READ = Depends(require("ask", counts="reads"))
ASK = Depends(require("ask", counts="requests"))


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


@router.post("/v1/embeddings")
async def create_embeddings(request: Request, body: EmbeddingsRequest, caller: Caller = ASK) -> dict[str, Any]:
    made = await request.app.state.retrieval.embed(body.input)
    _check_dimensions(body.dimensions, len(made.vectors[0]))
    await request.app.state.limits.spend(caller, made.tokens)
    as_asked = _base64 if body.encoding_format == "base64" else list
    data = [
        {"object": "embedding", "index": position, "embedding": as_asked(vector)}
        for position, vector in enumerate(made.vectors)
    ]
    usage = {"prompt_tokens": made.tokens, "total_tokens": made.tokens}
    return {"object": "list", "data": data, "model": made.model, "usage": usage}


def _check_dimensions(wanted: int | None, made: int) -> None:
    """Raises ApiError 400 for another length than the embedder's: cut short, its vectors would mean little."""
    if wanted not in (None, made):
        message = f"dimensions: the embedder makes vectors of {made} numbers; ask for {made}, or leave it out."
        raise ApiError(400, message, code="invalid_value", param="dimensions")


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
