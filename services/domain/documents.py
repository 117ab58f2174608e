"""Documents that a source brings into a store: put, replace, withdraw.

OpenAI's files are immutable, so a changed document is a new file. The former one answers until the new one is indexed,
and is withdrawn in the transaction that says so: there is no moment without the document, and what cannot be read
takes nothing away. Every function works in the caller's transaction; bytes are written before and removed after it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import fsspec
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from services.database.tables import File, Job, Source, SourceDocument, StoreFile, now
from services.domain.jobs import new_job

GONE: dict[str, Any] = {"deleted": True, "revision": StoreFile.revision + 1, "status": "cancelled"}


@dataclass(frozen=True)
class Withdrawn:
    """A file that nobody sees any more; its points in these stores and its bytes are to be purged after the commit."""

    file_id: str
    path: str
    store_ids: tuple[str, ...]


def new_file(
    files_url: str, workspace_id: str, filename: str, data: bytes, url: str | None, purpose: str = "assistants"
) -> File:
    """Write a file's bytes; returns its row, to be added to a session."""
    file_id = f"file-{secrets.token_hex(12)}"
    path = f"{files_url.rstrip('/')}/{workspace_id}/{file_id}"
    with fsspec.open(path, "wb", auto_mkdir=True) as target:
        target.write(data)
    sha256 = hashlib.sha256(data).hexdigest()
    return File(id=file_id, workspace_id=workspace_id, filename=filename[-255:], purpose=purpose, bytes=len(data),
                sha256=sha256, path=path, url=url)  # fmt: skip


def remove_bytes(path: str) -> None:
    """Nothing happens where there are none."""
    filesystem, name = fsspec.core.url_to_fs(path)
    if filesystem.exists(name):
        filesystem.rm(name)


def put(
    session: Session, source: Source, key: str, file: File, digest: str, hint: str | None, deadline_seconds: float
) -> tuple[Job, list[Withdrawn]]:
    """Add a new or changed document's file to the source's store; returns the job that indexes it.

    A writing that never answered is withdrawn at once; one that answers stays until this one is indexed.
    """
    session.add(file)
    session.flush()
    document, withdrawn = session.get(SourceDocument, (source.id, key)), list[Withdrawn]()
    if document is None:
        document = SourceDocument(source_id=source.id, key=key, workspace_id=source.workspace_id)
        session.add(document)
    elif _answers(session, source.store_id, document.file_id):
        document.former_file_id = document.file_id
    else:
        withdrawn = withdraw(session, [document.file_id])
    document.file_id, document.sha256, document.size, document.hint = file.id, digest, file.bytes, hint
    document.changed_at = document.seen_at = now()
    attributes = dict(source.settings.get("attributes") or {})
    row = StoreFile(store_id=source.store_id, file_id=file.id, workspace_id=source.workspace_id, revision=1,
                    status="in_progress", attributes=attributes)  # fmt: skip
    session.add(row)
    return _index(session, row, deadline_seconds), withdrawn


def index_again(session: Session, source: Source, file_id: str, deadline_seconds: float) -> Job | None:
    """Queue a document anew, with the source's attributes. None where it was withdrawn meanwhile."""
    row = session.get(StoreFile, (source.store_id, file_id))
    if row is None or row.deleted:
        return None
    want_again(row)
    row.status, row.error, row.attributes = "in_progress", None, dict(source.settings.get("attributes") or {})
    return _index(session, row, deadline_seconds)


def want_again(row: StoreFile) -> None:
    """Want another revision of a file in a store. What answers now goes on answering until that one is indexed.

    A file that was taken out, or never was indexed, has nothing that answers.
    """
    if row.deleted:
        row.indexed_at = None
    if row.indexed_at is None:
        row.former_revision = None
    elif row.former_revision is None:
        row.former_revision = row.revision
    row.revision += 1


def withdraw_former(session: Session, file_id: str) -> list[Withdrawn]:
    """Withdraw what an indexed file replaces."""
    document = session.scalar(
        select(SourceDocument).where(SourceDocument.file_id == file_id, SourceDocument.former_file_id.is_not(None))
    )
    if document is None or document.former_file_id is None:
        return []
    former, document.former_file_id = document.former_file_id, None
    return withdraw(session, [former])


def withdraw(session: Session, file_ids: Sequence[str]) -> list[Withdrawn]:
    """Hide files at once, in every store. One that is gone already is not named again."""
    held = StoreFile.file_id.in_(file_ids), StoreFile.deleted.is_(False)
    stores: dict[str, list[str]] = {}
    for store_id, file_id in session.execute(select(StoreFile.store_id, StoreFile.file_id).where(held[0])):
        stores.setdefault(file_id, []).append(store_id)
    files = session.execute(select(File.id, File.path).where(File.id.in_(file_ids), File.deleted_at.is_(None))).all()
    session.execute(update(File).where(File.id.in_(file_ids), File.deleted_at.is_(None)).values(deleted_at=now()))
    session.execute(update(StoreFile).where(*held).values(**GONE))
    return [Withdrawn(file_id, path, tuple(stores.get(file_id, ()))) for file_id, path in files]


def withdraw_documents(session: Session, source_id: str, keys: Sequence[str]) -> list[Withdrawn]:
    """Hide a source's documents at once and forget them."""
    which = SourceDocument.source_id == source_id, SourceDocument.key.in_(keys)
    rows = session.execute(select(SourceDocument.file_id, SourceDocument.former_file_id).where(*which)).all()
    session.execute(delete(SourceDocument).where(*which))
    return withdraw(session, [file_id for row in rows for file_id in row if file_id])


def _answers(session: Session, store_id: str, file_id: str) -> bool:
    """Whether a file answers by now. One that does not yet never will: a worker that indexes it just now is too late.

    The update decides, not a read before it.
    """
    unindexed = StoreFile.store_id == store_id, StoreFile.file_id == file_id, StoreFile.indexed_at.is_(None)
    stop = update(StoreFile).where(*unindexed).values(revision=StoreFile.revision + 1, status="cancelled")
    if session.execute(stop).rowcount:  # type: ignore[attr-defined]
        return False
    row = session.get(StoreFile, (store_id, file_id), populate_existing=True)
    return row is not None and not row.deleted


def _index(session: Session, row: StoreFile, deadline_seconds: float) -> Job:
    request = {"store_id": row.store_id, "file_id": row.file_id, "revision": row.revision, "asked_by": "sync"}
    job = new_job(row.workspace_id, "index_file", request, deadline_seconds)
    session.add(job)
    return job
