"""The files of a vector store, in OpenAI's shape."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from services.gateway.files.files import check_files
from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.gateway.http.paging import Cursor, cursor, page
from services.gateway.stores.bodies import POLL_AFTER, Status, store_file_body
from services.gateway.stores.schemas import StoreFileCreate, StoreFileUpdate, entry

router = APIRouter(tags=["knowledge"])
READ = Depends(require("knowledge", counts="reads"))
WRITE = Depends(require("knowledge", counts="writes"))


@router.post("/v1/vector_stores/{store_id}/files")
def create_store_file(request: Request, store_id: str, body: StoreFileCreate, caller: Caller = WRITE) -> dict[str, Any]:
    """Attach a file and queue its indexing; poll the file's status."""
    held = request.app.state.store_files
    check_files(request.app.state.files, caller, file_id=body.file_id)
    held.attach(caller.workspace_id, store_id, [entry(body)])
    return store_file_body(*held.find(caller.workspace_id, store_id, body.file_id))


@router.get("/v1/vector_stores/{store_id}/files")
def list_store_files(
    request: Request,
    store_id: str,
    wanted: Cursor = Depends(cursor),
    filter: Status | None = None,
    caller: Caller = READ,
) -> dict[str, Any]:
    rows, more = request.app.state.store_files.list(caller.workspace_id, store_id, wanted, filter)
    return page([store_file_body(row, file) for row, file in rows], more)


@router.get("/v1/vector_stores/{store_id}/files/{file_id}")
def retrieve_store_file(
    request: Request, response: Response, store_id: str, file_id: str, caller: Caller = READ
) -> dict[str, Any]:
    response.headers.update(POLL_AFTER)
    return store_file_body(*request.app.state.store_files.find(caller.workspace_id, store_id, file_id))


@router.post("/v1/vector_stores/{store_id}/files/{file_id}")
async def update_store_file(
    request: Request, store_id: str, file_id: str, body: StoreFileUpdate, caller: Caller = WRITE
) -> dict[str, Any]:
    """Give a file other attributes; filters go by them when this returns. Nothing is embedded anew."""
    state, workspace_id = request.app.state, caller.workspace_id
    update = state.store_files.update
    row, file = await run_in_threadpool(update, workspace_id, store_id, file_id, body.attributes or {})
    await state.retrieval.set_attributes(workspace_id, store_id, file_id)
    return store_file_body(row, file)


@router.delete("/v1/vector_stores/{store_id}/files/{file_id}")
async def delete_store_file(request: Request, store_id: str, file_id: str, caller: Caller = WRITE) -> dict[str, Any]:
    state, asked_at = request.app.state, time.time()
    await run_in_threadpool(state.store_files.detach, caller.workspace_id, store_id, file_id)
    await state.retrieval.delete_file(caller.workspace_id, store_id, file_id, asked_at)
    return {"id": file_id, "object": "vector_store.file.deleted", "deleted": True}


@router.get("/v1/vector_stores/{store_id}/files/{file_id}/content")
async def retrieve_store_file_content(
    request: Request, store_id: str, file_id: str, caller: Caller = READ
) -> dict[str, Any]:
    """The file's text as the index has it, a chunk an entry; nothing before it is indexed."""
    state, named = request.app.state, (caller.workspace_id, store_id, file_id)
    row, file = await run_in_threadpool(state.store_files.find, *named)
    data = [{"type": "text", "text": chunk.text} for chunk in await state.retrieval.chunks(*named)]
    head = {"object": "vector_store.file_content.page", "file_id": file_id, "filename": file.filename}
    return {**head, "attributes": row.attributes, "data": data, "has_more": False, "next_page": None}
