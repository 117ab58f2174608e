"""Models, embeddings, feedback, and what an answer rested on."""

from __future__ import annotations

import base64
import struct
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool

from services.gateway.keys import Caller, require
from services.gateway.models import served
from services.gateway.schemas import EmbeddingsRequest, FeedbackCreate
from services.kit.errors import ApiError

router = APIRouter(tags=["ask"])
ASK = Depends(require("ask"))
MOST_TEXTS = 2048
ANSWER_FIELDS = (
    "id",
    "model",
    "mode",
    "question",
    "answer",
    "messages",
    "passages",
    "citations",
    "timings",
    "versions",
)


@router.get("/v1/models")
async def list_models(request: Request, caller: Caller = ASK) -> dict[str, Any]:
    """What answers now: the modes whose weights are served, and every version of the workspace by name."""
    state = request.app.state
    modes = served(await state.slots.table(), caller.workspace_id)
    names = await run_in_threadpool(state.versions.names, caller.workspace_id)
    data = [{"id": name, "object": "model", "created": 0, "owned_by": "tandem"} for name in [*modes, *names]]
    return {"object": "list", "data": data}


@router.get("/v1/models/{name:path}")
async def retrieve_model(request: Request, name: str, caller: Caller = ASK) -> dict[str, Any]:
    for model in (await list_models(request, caller))["data"]:
        if model["id"] == name:
            found: dict[str, Any] = model
            return found
    raise ApiError(404, f"The model '{name}' does not exist, or its weights are not served.", code="model_not_found")


@router.post("/v1/embeddings")
async def create_embeddings(request: Request, body: EmbeddingsRequest, caller: Caller = ASK) -> dict[str, Any]:
    texts = [body.input] if isinstance(body.input, str) else body.input
    if not texts or len(texts) > MOST_TEXTS:
        raise ApiError(400, f"Send between 1 and {MOST_TEXTS} texts.", code="invalid_value", param="input")
    made = await request.app.state.retrieval.embed(texts)
    await request.app.state.limits.spend(caller, made.tokens)
    as_asked = _base64 if body.encoding_format == "base64" else list
    data = [
        {"object": "embedding", "index": position, "embedding": as_asked(vector)}
        for position, vector in enumerate(made.vectors)
    ]
    usage = {"prompt_tokens": made.tokens, "total_tokens": made.tokens}
    return {"object": "list", "data": data, "model": made.model, "usage": usage}


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


@router.post("/v1/feedback")
def create_feedback(request: Request, body: FeedbackCreate, caller: Caller = ASK) -> dict[str, Any]:
    """A person's verdict on an answer, kept in the journal beside it."""
    row = request.app.state.journal.add_feedback(
        caller.workspace_id, body.answer_id, body.rating, body.reason, body.correction
    )
    return {"id": row.id, "object": "feedback", "answer_id": row.turn_id, "rating": row.rating, "reason": row.reason}


@router.get("/v1/answers/{answer_id}")
def retrieve_answer(request: Request, answer_id: str, caller: Caller = ASK) -> dict[str, Any]:
    """An answer from the journal, with its prompt, passages, citations, timings and versions."""
    turn = request.app.state.journal.find(caller.workspace_id, answer_id)
    fields = {name: getattr(turn, name) for name in ANSWER_FIELDS}
    return {"object": "answer", "created_at": int(turn.created_at.timestamp()), **fields}
