"""The files of a vector store, in OpenAI's shape."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Depends, Response
from starlette.concurrency import run_in_threadpool

from services.gateway.files.files import Files, check_files
from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.gateway.http.paging import Cursor, cursor, page
from services.gateway.http.parts import part
from services.gateway.stores.bodies import POLL_AFTER, Status, store_file_body
from services.gateway.stores.files import StoreFiles
from services.gateway.stores.schemas import StoreFileCreate, StoreFileUpdate, entry
from services.gateway.upstream.retrieval import RetrievalClient

router = APIRouter(tags=["knowledge"])
READ = Depends(require("knowledge", counts="reads"))
WRITE = Depends(require("knowledge", counts="writes"))
FILES = part(Files)
RETRIEVAL = part(RetrievalClient)
STORE_FILES = part(StoreFiles)


@router.post("/v1/vector_stores/{store_id}/files")
def create_store_file(
    store_id: str,
    body: StoreFileCreate,
    caller: Caller = WRITE,
    store_files: StoreFiles = STORE_FILES,
    files: Files = FILES,
) -> dict[str, Any]:
    """Attach a file and queue its indexing; poll the file's status."""
    check_files(files, caller, file_id=body.file_id)
    store_files.attach(caller.workspace_id, store_id, [entry(body)])
    return store_file_body(*store_files.find(caller.workspace_id, store_id, body.file_id))


@router.get("/v1/vector_stores/{store_id}/files")
def list_store_files(
    store_id: str,
    wanted: Cursor = Depends(cursor),
    filter: Status | None = None,
    caller: Caller = READ,
    store_files: StoreFiles = STORE_FILES,
) -> dict[str, Any]:
    rows, more = store_files.list(caller.workspace_id, store_id, wanted, filter)
    return page([store_file_body(row, file) for row, file in rows], more)


@router.get("/v1/vector_stores/{store_id}/files/{file_id}")
def retrieve_store_file(
    response: Response, store_id: str, file_id: str, caller: Caller = READ, store_files: StoreFiles = STORE_FILES
) -> dict[str, Any]:
    response.headers.update(POLL_AFTER)
    return store_file_body(*store_files.find(caller.workspace_id, store_id, file_id))


@router.post("/v1/vector_stores/{store_id}/files/{file_id}")
async def update_store_file(
    store_id: str,
    file_id: str,
    body: StoreFileUpdate,
    caller: Caller = WRITE,
    store_files: StoreFiles = STORE_FILES,
    retrieval: RetrievalClient = RETRIEVAL,
) -> dict[str, Any]:
    """Change a file's attributes; filters use them when this returns. Nothing is embedded again."""
    workspace_id, update = caller.workspace_id, store_files.update
    row, file = await run_in_threadpool(update, workspace_id, store_id, file_id, body.attributes or {})
    await retrieval.set_attributes(workspace_id, store_id, file_id)
    return store_file_body(row, file)


@router.delete("/v1/vector_stores/{store_id}/files/{file_id}")
async def delete_store_file(
    store_id: str,
    file_id: str,
    caller: Caller = WRITE,
    store_files: StoreFiles = STORE_FILES,
    retrieval: RetrievalClient = RETRIEVAL,
) -> dict[str, Any]:
    asked_at = time.time()
    await run_in_threadpool(store_files.detach, caller.workspace_id, store_id, file_id)
    await retrieval.delete_file(caller.workspace_id, store_id, file_id, asked_at)
    return {"id": file_id, "object": "vector_store.file.deleted", "deleted": True}


@router.get("/v1/vector_stores/{store_id}/files/{file_id}/content")
async def retrieve_store_file_content(
    store_id: str,
    file_id: str,
    caller: Caller = READ,
    store_files: StoreFiles = STORE_FILES,
    retrieval: RetrievalClient = RETRIEVAL,
) -> dict[str, Any]:
    """The file's text as the index has it, one entry for each chunk; empty until the file is indexed."""
    named = (caller.workspace_id, store_id, file_id)
    row, file = await run_in_threadpool(store_files.find, *named)
    data = [{"type": "text", "text": chunk.text} for chunk in await retrieval.chunks(*named)]
    head = {"object": "vector_store.file_content.page", "file_id": file_id, "filename": file.filename}
    return {**head, "attributes": row.attributes, "data": data, "has_more": False, "next_page": None}
