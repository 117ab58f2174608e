"""Tuned weights of the embedder: start a training, see what came of it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request

from services.contracts.jobs import ACTIVE, JobKind
from services.database.tables import TunedEmbedder
from services.gateway.chat.schemas import EmbedderCreate
from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.gateway.jobs.routes import job_body
from services.kit.errors import ApiError

router = APIRouter(tags=["knowledge"])
READ = Depends(require("voice", "operate", counts="reads"))
TRAINING: JobKind = "embedder_training"


def embedder_body(embedder: TunedEmbedder) -> dict[str, Any]:
    """`path` is what the setting `embedding_model` is to be set to."""
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
    request: Request, body: EmbedderCreate | None = None, caller: Caller = Depends(require("operate", counts="writes"))
) -> dict[str, Any]:
    """Tune the embedder on a store's documents and the feedback. Answers with the job; one at a time."""
    state, asked = request.app.state, body or EmbedderCreate()
    stores = state.stores.resolve(caller.workspace_id, [asked.vector_store_id] if asked.vector_store_id else None)
    if not stores:
        raise ApiError(
            404, "There is no default vector store; name one.", code="store_not_found", param="vector_store_id"
        )
    for job in state.jobs.list(caller.workspace_id, TRAINING):
        if job.status in ACTIVE:
            return job_body(job)
    wanted = {"store_id": stores[0], "hyperparameters": asked.hyperparameters()}
    return job_body(state.dispatcher.start(caller.workspace_id, TRAINING, wanted))


@router.get("/v1/embedders")
def list_embedders(request: Request, caller: Caller = READ) -> dict[str, Any]:
    found = request.app.state.embedders.list(caller.workspace_id)
    return {"object": "list", "data": [embedder_body(one) for one in found], "has_more": False}


@router.get("/v1/embedders/{embedder_id}")
def retrieve_embedder(request: Request, embedder_id: str, caller: Caller = READ) -> dict[str, Any]:
    return embedder_body(request.app.state.embedders.find(caller.workspace_id, embedder_id))
