"""Batches of files for a vector store, in OpenAI's shape."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Response

from services.database.tables import FileBatch
from services.gateway.files.files import Files
from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.gateway.http.paging import Cursor, cursor, page
from services.gateway.http.parts import part
from services.gateway.http.visibility import purposes
from services.gateway.stores.batches import FileBatches
from services.gateway.stores.bodies import POLL_AFTER, Status, batch_body, store_file_body
from services.gateway.stores.schemas import BatchCreate, entry

router = APIRouter(tags=["knowledge"])
READ = Depends(require("knowledge", counts="reads"))
WRITE = Depends(require("knowledge", counts="writes"))
BATCHES = part(FileBatches)
FILES = part(Files)


def _described(batch: FileBatch, batches: FileBatches) -> dict[str, Any]:
    return batch_body(batch, batches.counts(batch))


@router.post("/v1/vector_stores/{store_id}/file_batches")
def create_batch(
    store_id: str,
    body: BatchCreate,
    caller: Caller = WRITE,
    files: Files = FILES,
    batches: FileBatches = BATCHES,
) -> dict[str, Any]:
    """Attach files and queue their indexing; poll the batch's counts."""
    entries = [entry(file) for file in body.entries()]
    files.find_all(caller.workspace_id, [one.file_id for one in entries], purposes(caller))
    return _described(batches.create(caller.workspace_id, store_id, entries), batches)


@router.get("/v1/vector_stores/{store_id}/file_batches/{batch_id}")
def retrieve_batch(
    response: Response,
    store_id: str,
    batch_id: str,
    caller: Caller = READ,
    batches: FileBatches = BATCHES,
) -> dict[str, Any]:
    response.headers.update(POLL_AFTER)
    return _described(batches.find(caller.workspace_id, store_id, batch_id), batches)


@router.post("/v1/vector_stores/{store_id}/file_batches/{batch_id}/cancel")
def cancel_batch(
    store_id: str, batch_id: str, caller: Caller = WRITE, batches: FileBatches = BATCHES
) -> dict[str, Any]:
    return _described(batches.cancel(caller.workspace_id, store_id, batch_id), batches)


@router.get("/v1/vector_stores/{store_id}/file_batches/{batch_id}/files")
def list_batch_files(
    store_id: str,
    batch_id: str,
    wanted: Cursor = Depends(cursor),
    filter: Status | None = None,
    caller: Caller = READ,
    batches: FileBatches = BATCHES,
) -> dict[str, Any]:
    named = caller.workspace_id, store_id, batch_id
    rows, more = batches.files(*named, wanted, filter)
    return page([store_file_body(row, file) for row, file in rows], more)
