"""Tuned weights of the embedder: start a training, see what came of it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from services.contracts.jobs import JobKind
from services.database.tables import TunedEmbedder
from services.domain.jobs import Jobs
from services.gateway.embedders.embedders import Embedders
from services.gateway.embedders.schemas import EmbedderCreate
from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.gateway.http.parts import part
from services.gateway.jobs.bodies import job_body
from services.gateway.jobs.dispatch import Dispatcher
from services.gateway.stores.stores import Stores
from services.kit.errors import ApiError

router = APIRouter(tags=["knowledge"])
READ = Depends(require("voice", "operate", counts="reads"))
DISPATCHER = part(Dispatcher)
EMBEDDERS = part(Embedders)
JOBS = part(Jobs)
STORES = part(Stores)
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
    body: EmbedderCreate | None = None,
    caller: Caller = Depends(require("operate", counts="writes")),
    stores: Stores = STORES,
    jobs: Jobs = JOBS,
    dispatcher: Dispatcher = DISPATCHER,
) -> dict[str, Any]:
    """Tune the embedder on a store's documents and the feedback. Answers with the job; one at a time."""
    asked = body or EmbedderCreate()
    resolved = stores.resolve(caller.workspace_id, [asked.vector_store_id] if asked.vector_store_id else None)
    if not resolved:
        raise ApiError(
            404, "There is no default vector store; name one.", code="store_not_found", param="vector_store_id"
        )
    for job in jobs.list(caller.workspace_id, TRAINING):
        if job.status in ("queued", "running"):
            return job_body(job)
    wanted = {"store_id": resolved[0], "hyperparameters": asked.hyperparameters()}
    return job_body(dispatcher.start(caller.workspace_id, TRAINING, wanted))


@router.get("/v1/embedders")
def list_embedders(caller: Caller = READ, embedders: Embedders = EMBEDDERS) -> dict[str, Any]:
    found = embedders.list(caller.workspace_id)
    return {"object": "list", "data": [embedder_body(one) for one in found], "has_more": False}


@router.get("/v1/embedders/{embedder_id}")
def retrieve_embedder(embedder_id: str, caller: Caller = READ, embedders: Embedders = EMBEDDERS) -> dict[str, Any]:
    return embedder_body(embedders.find(caller.workspace_id, embedder_id))
