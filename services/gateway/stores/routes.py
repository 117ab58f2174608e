"""Vector stores in OpenAI's shape: make, list, change, search, reindex, delete."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Depends
from starlette.concurrency import run_in_threadpool

from retrieval.search.rewriting import search_terms
from services.contracts.jobs import JobKind
from services.database.tables import Store
from services.gateway.files.files import Files
from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.gateway.http.paging import Cursor, cursor, page
from services.gateway.http.parts import part
from services.gateway.http.visibility import purposes
from services.gateway.jobs.bodies import job_body
from services.gateway.jobs.dispatch import Dispatcher
from services.gateway.stores.bodies import search_result, store_body
from services.gateway.stores.files import Entry, StoreFiles
from services.gateway.stores.schemas import ReindexRequest, StoreCreate, StoreSearch, StoreUpdate, sizes
from services.gateway.stores.stores import NewStore, Stores
from services.gateway.upstream.retrieval import RetrievalClient, best_of

router = APIRouter(tags=["knowledge"])
SEARCH = Depends(require("knowledge", counts="requests"))
READ = Depends(require("knowledge", counts="reads"))
WRITE = Depends(require("knowledge", counts="writes"))
DISPATCHER = part(Dispatcher)
FILES = part(Files)
RETRIEVAL = part(RetrievalClient)
STORE_FILES = part(StoreFiles)
STORES = part(Stores)
REINDEX: JobKind = "reindex"


def _own(metadata: dict[str, str] | None) -> dict[str, str]:
    """The metadata that the client sent; the key `default` belongs to the server."""
    return {key: value for key, value in (metadata or {}).items() if key != "default"}


def _described(store: Store, stores: Stores) -> dict[str, Any]:
    return store_body(store, stores.contents([store.id])[store.id])


@router.post("/v1/vector_stores")
def create_store(
    body: StoreCreate,
    caller: Caller = WRITE,
    files: Files = FILES,
    stores: Stores = STORES,
    store_files: StoreFiles = STORE_FILES,
) -> dict[str, Any]:
    files.find_all(caller.workspace_id, body.file_ids, purposes(caller))
    days = body.expires_after.days if body.expires_after else None
    store = stores.create(caller.workspace_id, NewStore(body.name, body.description, _own(body.metadata), days))
    entries = [Entry(file_id, chunking=sizes(body.chunking_strategy)) for file_id in dict.fromkeys(body.file_ids)]
    store_files.attach(caller.workspace_id, store.id, entries)
    return _described(store, stores)


@router.get("/v1/vector_stores")
def list_stores(wanted: Cursor = Depends(cursor), caller: Caller = READ, stores: Stores = STORES) -> dict[str, Any]:
    found, more = stores.list(caller.workspace_id, wanted)
    contents = stores.contents([store.id for store in found])
    return page([store_body(store, contents[store.id]) for store in found], more)


@router.get("/v1/vector_stores/{store_id}")
def retrieve_store(store_id: str, caller: Caller = READ, stores: Stores = STORES) -> dict[str, Any]:
    return _described(stores.find(caller.workspace_id, store_id), stores)


@router.post("/v1/vector_stores/{store_id}")
def update_store(store_id: str, body: StoreUpdate, caller: Caller = WRITE, stores: Stores = STORES) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if body.name is not None:
        changes["name"] = body.name
    if "metadata" in body.model_fields_set:
        changes["details"] = _own(body.metadata)
    if "expires_after" in body.model_fields_set:
        changes["expires_days"] = body.expires_after.days if body.expires_after else None
    return _described(stores.update(caller.workspace_id, store_id, changes), stores)


@router.delete("/v1/vector_stores/{store_id}")
async def delete_store(
    store_id: str, caller: Caller = WRITE, stores: Stores = STORES, retrieval: RetrievalClient = RETRIEVAL
) -> dict[str, Any]:
    await run_in_threadpool(stores.delete, caller.workspace_id, store_id)
    await retrieval.drop_store(caller.workspace_id, store_id)
    return {"id": store_id, "object": "vector_store.deleted", "deleted": True}


@router.post("/v1/vector_stores/{store_id}/search")
async def search_store(
    store_id: str,
    body: StoreSearch,
    caller: Caller = SEARCH,
    stores: Stores = STORES,
    retrieval: RetrievalClient = RETRIEVAL,
) -> dict[str, Any]:
    """Passages for a query, best first; for several queries, each passage with its best score."""
    await run_in_threadpool(stores.active, caller.workspace_id, store_id)
    queries = [search_terms(query) if body.rewrite_query else query for query in body.queries()]
    threshold = body.ranking_options.score_threshold
    found = await asyncio.gather(
        *(
            retrieval.search(
                caller.workspace_id,
                [store_id],
                query,
                [],
                body.max_num_results,
                filters=body.filters,
                score_threshold=threshold,
            )
            for query in queries
        )
    )
    data = [search_result(passage) for passage in best_of(found, body.max_num_results)]
    results = {"object": "vector_store.search_results.page", "search_query": [one.query for one in found]}
    return {**results, "data": data, "has_more": False, "next_page": None}


@router.post("/v1/vector_stores/{store_id}/reindex")
def reindex_store(
    store_id: str,
    body: ReindexRequest | None = None,
    caller: Caller = WRITE,
    stores: Stores = STORES,
    dispatcher: Dispatcher = DISPATCHER,
) -> dict[str, Any]:
    """Build a new index for the store beside the live one, then switch to it. Answers with the job."""
    stores.find(caller.workspace_id, store_id)
    settings = body.model_dump(exclude_none=True) if body else {}
    return job_body(dispatcher.start_once(caller.workspace_id, REINDEX, {"store_id": store_id, **settings}))
