"""A store's index: its state, the rollback to the former build, and repair."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from starlette.concurrency import run_in_threadpool

from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.gateway.http.parts import part
from services.gateway.jobs.bodies import job_body
from services.gateway.jobs.dispatch import Dispatcher
from services.gateway.stores.stores import Stores
from services.gateway.upstream.retrieval import RetrievalClient
from services.kit.errors import ApiError

router = APIRouter(tags=["knowledge"])
READ = Depends(require("knowledge", counts="reads"))
WRITE = Depends(require("knowledge", counts="writes"))
DISPATCHER = part(Dispatcher)
RETRIEVAL = part(RetrievalClient)
STORES = part(Stores)


@router.get("/v1/vector_stores/{store_id}/index")
async def retrieve_index(
    store_id: str, caller: Caller = READ, stores: Stores = STORES, retrieval: RetrievalClient = RETRIEVAL
) -> dict[str, Any]:
    """The builds of the store's index, which one answers, and any damage."""
    await run_in_threadpool(stores.find, caller.workspace_id, store_id)
    found = await retrieval.collections(caller.workspace_id, store_id)
    return {"object": "vector_store.index", "vector_store_id": store_id, **found.model_dump()}


@router.post("/v1/vector_stores/{store_id}/rollback")
def roll_back_store(
    store_id: str, caller: Caller = WRITE, stores: Stores = STORES, dispatcher: Dispatcher = DISPATCHER
) -> dict[str, Any]:
    """Let the former build answer again, once it has everything written since. Answers with the job."""
    store = stores.find(caller.workspace_id, store_id)
    if store.previous_collection_id is None:
        message = f"The vector store '{store_id}' has no build before the one that answers."
        raise ApiError(409, message, code="nothing_to_roll_back_to", param="vector_store_id")
    wanted = {"store_id": store_id, "rollback_to": store.previous_collection_id}
    return job_body(dispatcher.start_once(caller.workspace_id, "reindex", wanted))


@router.post("/v1/vector_stores/{store_id}/reconcile")
def reconcile_store(
    store_id: str, caller: Caller = WRITE, stores: Stores = STORES, dispatcher: Dispatcher = DISPATCHER
) -> dict[str, Any]:
    """Find and repair differences between database, files and index. Answers with the job; its result is the report."""
    stores.find(caller.workspace_id, store_id)
    return job_body(dispatcher.start_once(caller.workspace_id, "reconcile", {"store_id": store_id}))
