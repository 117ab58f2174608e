"""Tuned weights of the embedder: start a training, see its result."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from services.database.tables import TunedEmbedder
from services.gateway.embedders.embedders import Embedders
from services.gateway.embedders.schemas import EmbedderCreate
from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.gateway.http.parts import part
from services.gateway.jobs.bodies import job_body

router = APIRouter(tags=["knowledge"])
READ = Depends(require("voice", "operate", counts="reads"))
OPERATE = Depends(require("operate", counts="writes"))
EMBEDDERS = part(Embedders)


def embedder_body(embedder: TunedEmbedder) -> dict[str, Any]:
    """`path` is the value for the setting `embedding_model`."""
    return {
        "id": embedder.id,
        "object": "embedder",
        "status": embedder.status,
        "base": embedder.base,
        "path": embedder.path,
        "report": embedder.report,
        "job_id": embedder.job_id,
        "created_at": int(embedder.created_at.timestamp()),
    }


@router.post("/v1/embedders")
def train_embedder(
    body: EmbedderCreate | None = None, caller: Caller = OPERATE, embedders: Embedders = EMBEDDERS
) -> dict[str, Any]:
    """Tune the embedder on a store's documents and the feedback. Answers with the job. One training at a time."""
    return job_body(embedders.train(caller.workspace_id, body or EmbedderCreate()))


@router.get("/v1/embedders")
def list_embedders(caller: Caller = READ, embedders: Embedders = EMBEDDERS) -> dict[str, Any]:
    found = embedders.list(caller.workspace_id)
    return {"object": "list", "data": [embedder_body(one) for one in found], "has_more": False}


@router.get("/v1/embedders/{embedder_id}")
def retrieve_embedder(embedder_id: str, caller: Caller = READ, embedders: Embedders = EMBEDDERS) -> dict[str, Any]:
    return embedder_body(embedders.find(caller.workspace_id, embedder_id))
