"""Files and vector stores, in OpenAI's shapes."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Depends, Form, Query, Request, UploadFile
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from services.contracts.jobs import JobKind
from services.database.tables import File, Store, StoreFile
from services.gateway.keys import Caller, require
from services.gateway.routes.work import job_body
from services.gateway.schemas import ReindexRequest, StoreCreate, StoreFileCreate, StoreSearch

router = APIRouter(tags=["knowledge"])
KNOWLEDGE = Depends(require("knowledge"))
REINDEX: JobKind = "reindex"


def file_body(file: File) -> dict[str, Any]:
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.created_at.timestamp()),
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "sha256": file.sha256,
    }


def store_body(store: Store, counts: dict[str, int]) -> dict[str, Any]:
    busy = counts["in_progress"] > 0
    return {
        "id": store.id,
        "object": "vector_store",
        "created_at": int(store.created_at.timestamp()),
        "name": store.name,
        "usage_bytes": 0,
        "file_counts": counts,
        "status": "in_progress" if busy else "completed",
        "last_active_at": int(store.created_at.timestamp()),
        "metadata": {"default": "true"} if store.is_default else {},
    }


def store_file_body(row: StoreFile, file: File) -> dict[str, Any]:
    failed = row.status == "failed"
    return {
        "id": row.file_id,
        "object": "vector_store.file",
        "created_at": int(row.created_at.timestamp()),
        "vector_store_id": row.store_id,
        "status": row.status,
        "usage_bytes": file.bytes,
        "last_error": {"code": "invalid_file", "message": row.error or "no reason recorded"} if failed else None,
        "attributes": row.attributes,
        "filename": file.filename,
        "sha256": file.sha256,
        "chunk_count": row.chunk_count,
    }


def page(data: list[dict[str, Any]], has_more: bool = False) -> dict[str, Any]:
    ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    return {"object": "list", "data": data, **ends, "has_more": has_more}


@router.post("/v1/files")
def create_file(
    request: Request, file: UploadFile, purpose: str = Form(), caller: Caller = KNOWLEDGE
) -> dict[str, Any]:
    """Store a file. One for fine-tuning is checked line by line."""
    name = file.filename or "file"
    return file_body(request.app.state.files.store(caller.workspace_id, name, purpose, file.file))


@router.get("/v1/files")
def list_files(
    request: Request,
    purpose: str | None = None,
    limit: int = Query(default=1000, ge=1, le=10_000),
    after: str | None = None,
    caller: Caller = KNOWLEDGE,
) -> dict[str, Any]:
    rows, more = request.app.state.files.list(caller.workspace_id, purpose, limit, after)
    return page([file_body(row) for row in rows], more)


@router.get("/v1/files/{file_id}")
def retrieve_file(request: Request, file_id: str, caller: Caller = KNOWLEDGE) -> dict[str, Any]:
    return file_body(request.app.state.files.find(caller.workspace_id, file_id))


@router.get("/v1/files/{file_id}/content")
def retrieve_file_content(request: Request, file_id: str, caller: Caller = KNOWLEDGE) -> Response:
    """The file's bytes, as a download: a stored document is never rendered from this origin."""
    _, content = request.app.state.files.content(caller.workspace_id, file_id)
    headers = {"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"}
    return Response(content, media_type="application/octet-stream", headers=headers)


@router.delete("/v1/files/{file_id}")
async def delete_file(request: Request, file_id: str, caller: Caller = KNOWLEDGE) -> dict[str, Any]:
    """Delete a file. Its passages are hidden when this returns, and purged from the index."""
    state, asked_at = request.app.state, time.time()
    for store_id in await run_in_threadpool(state.files.delete, caller.workspace_id, file_id):
        await state.retrieval.delete_file(caller.workspace_id, store_id, file_id, asked_at)
    return {"id": file_id, "object": "file", "deleted": True}


@router.post("/v1/vector_stores")
def create_store(request: Request, body: StoreCreate, caller: Caller = KNOWLEDGE) -> dict[str, Any]:
    stores = request.app.state.stores
    store = stores.create(caller.workspace_id, body.name)
    for file_id in body.file_ids:
        stores.attach(caller.workspace_id, store.id, file_id, {})
    return store_body(store, stores.counts(store.id))


@router.get("/v1/vector_stores")
def list_stores(request: Request, caller: Caller = KNOWLEDGE) -> dict[str, Any]:
    stores = request.app.state.stores
    return page([store_body(store, stores.counts(store.id)) for store in stores.list(caller.workspace_id)])


@router.get("/v1/vector_stores/{store_id}")
def retrieve_store(request: Request, store_id: str, caller: Caller = KNOWLEDGE) -> dict[str, Any]:
    stores = request.app.state.stores
    return store_body(stores.find(caller.workspace_id, store_id), stores.counts(store_id))


@router.delete("/v1/vector_stores/{store_id}")
async def delete_store(request: Request, store_id: str, caller: Caller = KNOWLEDGE) -> dict[str, Any]:
    state = request.app.state
    await run_in_threadpool(state.stores.delete, caller.workspace_id, store_id)
    await state.retrieval.drop_store(caller.workspace_id, store_id)
    return {"id": store_id, "object": "vector_store.deleted", "deleted": True}


@router.post("/v1/vector_stores/{store_id}/files")
def create_store_file(
    request: Request, store_id: str, body: StoreFileCreate, caller: Caller = KNOWLEDGE
) -> dict[str, Any]:
    """Attach a file and queue its indexing; poll the file's status."""
    stores = request.app.state.stores
    return store_file_body(*stores.attach(caller.workspace_id, store_id, body.file_id, body.attributes or {}))


@router.get("/v1/vector_stores/{store_id}/files")
def list_store_files(request: Request, store_id: str, caller: Caller = KNOWLEDGE) -> dict[str, Any]:
    rows = request.app.state.stores.files(caller.workspace_id, store_id)
    return page([store_file_body(row, file) for row, file in rows])


@router.get("/v1/vector_stores/{store_id}/files/{file_id}")
def retrieve_store_file(request: Request, store_id: str, file_id: str, caller: Caller = KNOWLEDGE) -> dict[str, Any]:
    return store_file_body(*request.app.state.stores.file(caller.workspace_id, store_id, file_id))


@router.delete("/v1/vector_stores/{store_id}/files/{file_id}")
async def delete_store_file(
    request: Request, store_id: str, file_id: str, caller: Caller = KNOWLEDGE
) -> dict[str, Any]:
    state, asked_at = request.app.state, time.time()
    await run_in_threadpool(state.stores.detach, caller.workspace_id, store_id, file_id)
    await state.retrieval.delete_file(caller.workspace_id, store_id, file_id, asked_at)
    return {"id": file_id, "object": "vector_store.file.deleted", "deleted": True}


@router.post("/v1/vector_stores/{store_id}/search")
async def search_store(
    request: Request, store_id: str, body: StoreSearch, caller: Caller = KNOWLEDGE
) -> dict[str, Any]:
    """Passages for a query, best first."""
    state = request.app.state
    await run_in_threadpool(state.stores.find, caller.workspace_id, store_id)
    query = body.query if isinstance(body.query, str) else " ".join(body.query)
    found = await state.retrieval.search(caller.workspace_id, [store_id], query, [], body.max_num_results)
    data = [
        {
            "file_id": passage.chunk.source.file_id,
            "filename": passage.chunk.filename,
            "score": passage.score,
            "attributes": dict(passage.chunk.source.attributes),
            "content": [{"type": "text", "text": passage.chunk.text}],
            "page": passage.chunk.page,
            "title": passage.chunk.title,
            "headings": list(passage.chunk.headings),
            "ranks": {"dense": passage.dense_rank, "sparse": passage.sparse_rank},
        }
        for passage in found.passages
    ]
    results = {"object": "vector_store.search_results.page", "search_query": [found.query], "data": data}
    return {**results, "has_more": False, "next_page": None}


@router.post("/v1/vector_stores/{store_id}/reindex")
def reindex_store(
    request: Request, store_id: str, body: ReindexRequest | None = None, caller: Caller = KNOWLEDGE
) -> dict[str, Any]:
    """Build the store's index anew beside the live one, then switch. Answers with the job."""
    state = request.app.state
    state.stores.find(caller.workspace_id, store_id)
    settings = body.model_dump(exclude_none=True) if body else {}
    return job_body(state.dispatcher.start_once(caller.workspace_id, REINDEX, {"store_id": store_id, **settings}))
