"""POST /v1/embeddings."""

from __future__ import annotations

import base64
import struct
from typing import Any

from fastapi import APIRouter, Depends

from services.gateway.embeddings.schemas import EmbeddingsRequest
from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.gateway.http.limits import Limits
from services.gateway.http.parts import part
from services.gateway.upstream.retrieval import RetrievalClient
from services.kit.errors import ApiError

router = APIRouter(tags=["ask"])


ASK = Depends(require("ask", counts="requests"))
LIMITS = part(Limits)
RETRIEVAL = part(RetrievalClient)


@router.post("/v1/embeddings")
async def create_embeddings(
    body: EmbeddingsRequest, caller: Caller = ASK, retrieval: RetrievalClient = RETRIEVAL, limits: Limits = LIMITS
) -> dict[str, Any]:
    made = await retrieval.embed(body.input)
    _check_dimensions(body.dimensions, len(made.vectors[0]))
    await limits.spend(caller, made.tokens)
    as_asked = _base64 if body.encoding_format == "base64" else list
    data = [
        {"object": "embedding", "index": position, "embedding": as_asked(vector)}
        for position, vector in enumerate(made.vectors)
    ]
    usage = {"prompt_tokens": made.tokens, "total_tokens": made.tokens}
    return {"object": "list", "data": data, "model": made.model, "usage": usage}


def _check_dimensions(wanted: int | None, made: int) -> None:
    """Raises ApiError 400 for any length but the embedder's own: its vectors would mean little if cut shorter."""
    if wanted not in (None, made):
        message = f"dimensions: the embedder makes vectors of {made} numbers; ask for {made}, or leave it out."
        raise ApiError(400, message, code="invalid_value", param="dimensions")


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
