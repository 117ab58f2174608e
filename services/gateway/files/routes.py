"""Uploaded files, in OpenAI's shape."""

from __future__ import annotations

import time
from typing import Any, Literal

from fastapi import APIRouter, Depends, Form, Query, UploadFile
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from services.database.tables import File
from services.gateway.files.files import Files
from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.gateway.http.paging import Cursor, Order, page
from services.gateway.http.parts import part
from services.gateway.http.visibility import check_purpose, purposes
from services.gateway.lineage.bodies import lineage_body
from services.gateway.lineage.lineage import Lineages
from services.gateway.upstream.retrieval import RetrievalClient
from services.kit.errors import ApiError

router = APIRouter(tags=["knowledge"])
READ = Depends(require("knowledge", "voice", counts="reads"))
WRITE = Depends(require("knowledge", "voice", counts="writes"))
FILES = part(Files)
LINEAGES = part(Lineages)
RETRIEVAL = part(RetrievalClient)
HOUR, MONTH = 3600, 30 * 24 * 3600


def file_body(file: File) -> dict[str, Any]:
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.created_at.timestamp()),
        "expires_at": int(file.expires_at.timestamp()) if file.expires_at else None,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
        "sha256": file.sha256,
    }


def expiry(
    anchor: Literal["created_at"] | None = Form(default=None, alias="expires_after[anchor]"),
    seconds: int | None = Form(default=None, alias="expires_after[seconds]", ge=HOUR, le=MONTH),
) -> int | None:
    """OpenAI's `expires_after` as a form writes it: seconds to live."""
    if (anchor is None) != (seconds is None):
        message = "expires_after needs both an anchor, 'created_at', and seconds."
        raise ApiError(400, message, code="invalid_value", param="expires_after")
    return seconds


@router.post("/v1/files")
def create_file(
    file: UploadFile,
    purpose: str = Form(),
    expires_seconds: int | None = Depends(expiry),
    caller: Caller = WRITE,
    files: Files = FILES,
) -> dict[str, Any]:
    """Store a file. One for fine-tuning is checked line by line."""
    check_purpose(caller, purpose)
    name = file.filename or "file"
    return file_body(files.store(caller.workspace_id, name, purpose, file.file, expires_seconds))


@router.get("/v1/files")
def list_files(
    purpose: str | None = None,
    limit: int = Query(default=10_000, ge=1, le=10_000),
    order: Order = "desc",
    after: str | None = None,
    caller: Caller = READ,
    files: Files = FILES,
) -> dict[str, Any]:
    """The files that the key sees; of one purpose if it is named."""
    seen = purposes(caller) & {purpose} if purpose else purposes(caller)
    rows, more = files.list(caller.workspace_id, seen, Cursor(limit, order, after))
    return page([file_body(row) for row in rows], more)


@router.get("/v1/files/{file_id}")
def retrieve_file(file_id: str, caller: Caller = READ, files: Files = FILES) -> dict[str, Any]:
    return file_body(files.find(caller.workspace_id, file_id, purposes(caller)))


@router.get("/v1/files/{file_id}/content")
def retrieve_file_content(file_id: str, caller: Caller = READ, files: Files = FILES) -> Response:
    """The file's bytes, as a download. A browser must never show a stored document as a page of this origin."""
    _, content = files.content(caller.workspace_id, file_id, purposes(caller))
    headers = {"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"}
    return Response(content, media_type="application/octet-stream", headers=headers)


@router.delete("/v1/files/{file_id}")
async def delete_file(
    file_id: str,
    caller: Caller = WRITE,
    files: Files = FILES,
    retrieval: RetrievalClient = RETRIEVAL,
    lineages: Lineages = LINEAGES,
) -> dict[str, Any]:
    """Delete a file. Its passages are hidden when this returns, and removed from the index later. `lineage` names the
    data sets and versions that still contain its text.
    """
    asked_at = time.time()
    seen = purposes(caller)
    for store_id in await run_in_threadpool(files.delete, caller.workspace_id, file_id, seen):
        await retrieval.delete_file(caller.workspace_id, store_id, file_id, asked_at)
    left = await run_in_threadpool(lineages.of, caller.workspace_id, file_id)
    return {"id": file_id, "object": "file", "deleted": True, "lineage": lineage_body(left, file_id)}
