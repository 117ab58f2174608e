"""Vector stores, in OpenAI's shape: made, listed, changed, searched, reindexed, deleted."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool

from retrieval.model import Passage
from retrieval.search.rewriting import search_terms
from services.contracts.jobs import JobKind
from services.database.tables import Store
from services.gateway.chat.schemas import ReindexRequest
from services.gateway.files.routes import page
from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.gateway.http.paging import Cursor, cursor
from services.gateway.http.visibility import purposes
from services.gateway.jobs.routes import job_body
from services.gateway.stores.file_routes import sizes
from services.gateway.stores.files import Entry
from services.gateway.stores.schemas import StoreCreate, StoreSearch, StoreUpdate
from services.gateway.stores.stores import Contents, NewStore, expires_at, is_expired
from services.gateway.upstream.retrieval import best_of

router = APIRouter(tags=["knowledge"])
SEARCH = Depends(require("knowledge", counts="requests"))
READ = Depends(require("knowledge", counts="reads"))
WRITE = Depends(require("knowledge", counts="writes"))
REINDEX: JobKind = "reindex"


def store_body(store: Store, contents: Contents) -> dict[str, Any]:
    busy, expiry = contents.counts["in_progress"] > 0, expires_at(store)
    default = {"default": "true"} if store.is_default else {}
    return {
        "id": store.id,
        "object": "vector_store",
        "created_at": int(store.created_at.timestamp()),
        "name": store.name,
        "description": store.description,
        "usage_bytes": contents.usage_bytes,
        "file_counts": contents.counts,
        "status": "expired" if is_expired(store) else "in_progress" if busy else "completed",
        "expires_after": {"anchor": "last_active_at", "days": store.expires_days} if store.expires_days else None,
        "expires_at": int(expiry.timestamp()) if expiry else None,
        "last_active_at": int(store.last_active_at.timestamp()),
        "metadata": {**store.details, **default},
    }


def _own(metadata: dict[str, str] | None) -> dict[str, str]:
    """What the client says; `default` is the server's word."""
    return {key: value for key, value in (metadata or {}).items() if key != "default"}


def _described(request: Request, store: Store) -> dict[str, Any]:
    return store_body(store, request.app.state.stores.contents([store.id])[store.id])


@router.post("/v1/vector_stores")
def create_store(request: Request, body: StoreCreate, caller: Caller = WRITE) -> dict[str, Any]:
    state = request.app.state
    state.files.find_all(caller.workspace_id, body.file_ids, purposes(caller))
    days = body.expires_after.days if body.expires_after else None
    store = state.stores.create(caller.workspace_id, NewStore(body.name, body.description, _own(body.metadata), days))
    entries = [Entry(file_id, chunking=sizes(body.chunking_strategy)) for file_id in dict.fromkeys(body.file_ids)]
    state.store_files.attach(caller.workspace_id, store.id, entries)
    return _described(request, store)


@router.get("/v1/vector_stores")
def list_stores(request: Request, wanted: Cursor = Depends(cursor), caller: Caller = READ) -> dict[str, Any]:
    stores, more = request.app.state.stores.list(caller.workspace_id, wanted)
    contents = request.app.state.stores.contents([store.id for store in stores])
    return page([store_body(store, contents[store.id]) for store in stores], more)


@router.get("/v1/vector_stores/{store_id}")
def retrieve_store(request: Request, store_id: str, caller: Caller = READ) -> dict[str, Any]:
    return _described(request, request.app.state.stores.find(caller.workspace_id, store_id))


@router.post("/v1/vector_stores/{store_id}")
def update_store(request: Request, store_id: str, body: StoreUpdate, caller: Caller = WRITE) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if body.name is not None:
        changes["name"] = body.name
    if "metadata" in body.model_fields_set:
        changes["details"] = _own(body.metadata)
    if "expires_after" in body.model_fields_set:
        changes["expires_days"] = body.expires_after.days if body.expires_after else None
    return _described(request, request.app.state.stores.update(caller.workspace_id, store_id, changes))


@router.delete("/v1/vector_stores/{store_id}")
async def delete_store(request: Request, store_id: str, caller: Caller = WRITE) -> dict[str, Any]:
    state = request.app.state
    await run_in_threadpool(state.stores.delete, caller.workspace_id, store_id)
    await state.retrieval.drop_store(caller.workspace_id, store_id)
    return {"id": store_id, "object": "vector_store.deleted", "deleted": True}


@router.post("/v1/vector_stores/{store_id}/search")
async def search_store(request: Request, store_id: str, body: StoreSearch, caller: Caller = SEARCH) -> dict[str, Any]:
    """Passages for a query, best first; for several queries, each passage by its best score."""
    state = request.app.state
    await run_in_threadpool(state.stores.active, caller.workspace_id, store_id)
    queries = [search_terms(query) if body.rewrite_query else query for query in body.queries()]
    threshold = body.ranking_options.score_threshold
    found = await asyncio.gather(
        *(
            state.retrieval.search(
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
    data = [_result(passage) for passage in best_of(found, body.max_num_results)]
    results = {"object": "vector_store.search_results.page", "search_query": [one.query for one in found]}
    return {**results, "data": data, "has_more": False, "next_page": None}


def _result(passage: Passage) -> dict[str, Any]:
    chunk = passage.chunk
    return {
        "file_id": chunk.source.file_id,
        "filename": chunk.filename,
        "score": passage.score,
        "attributes": dict(chunk.source.attributes),
        "content": [{"type": "text", "text": chunk.text}],
        "page": chunk.page,
        "title": chunk.title,
        "headings": list(chunk.headings),
        "ranks": {"dense": passage.dense_rank, "sparse": passage.sparse_rank},
    }


@router.post("/v1/vector_stores/{store_id}/reindex")
def reindex_store(
    request: Request, store_id: str, body: ReindexRequest | None = None, caller: Caller = WRITE
) -> dict[str, Any]:
    """Build the store's index anew beside the live one, then switch. Answers with the job."""
    state = request.app.state
    state.stores.find(caller.workspace_id, store_id)
    settings = body.model_dump(exclude_none=True) if body else {}
    return job_body(state.dispatcher.start_once(caller.workspace_id, REINDEX, {"store_id": store_id, **settings}))
