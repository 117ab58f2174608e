"""Vector stores, their files and batches of files, as answers of the API show them."""

from __future__ import annotations

from typing import Any, Literal

from retrieval.model import Passage
from services.database.tables import File, FileBatch, Store, StoreFile
from services.gateway.stores.stores import Contents, expires_at, is_expired

Status = Literal["in_progress", "completed", "failed", "cancelled"]
POLL_AFTER = {"openai-poll-after-ms": "100"}  # OpenAI's SDK asks again after this long, not after a second


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


def store_file_body(row: StoreFile, file: File) -> dict[str, Any]:
    is_failed = row.status == "failed"
    error = {"code": row.error_code or "server_error", "message": row.error or "no reason recorded"}
    chunked = row.chunking or row.chunked
    return {
        "id": row.file_id,
        "object": "vector_store.file",
        "created_at": int(row.created_at.timestamp()),
        "vector_store_id": row.store_id,
        "status": row.status,
        "usage_bytes": file.bytes if row.status == "completed" else 0,
        "last_error": error if is_failed else None,
        "attributes": row.attributes,
        "chunking_strategy": {"type": "static", "static": chunked} if chunked else {"type": "other"},
        "filename": file.filename,
        "sha256": file.sha256,
        "chunk_count": row.chunk_count,
    }


def batch_body(batch: FileBatch, counts: dict[str, int]) -> dict[str, Any]:
    return {
        "id": batch.id,
        "object": "vector_store.files_batch",
        "created_at": int(batch.created_at.timestamp()),
        "vector_store_id": batch.store_id,
        "status": _status(batch, counts),
        "file_counts": counts,
    }


def _status(batch: FileBatch, counts: dict[str, int]) -> Status:
    """A batch is not failed because some files failed: their errors are shown with them."""
    if batch.cancelled_at is not None:
        return "cancelled"
    if counts["in_progress"]:
        return "in_progress"
    return "failed" if counts["failed"] == counts["total"] > 0 else "completed"


def search_result(passage: Passage) -> dict[str, Any]:
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
