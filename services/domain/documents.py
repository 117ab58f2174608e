"""Documents that a source brings into a store: put, replace, withdraw.

OpenAI's files are immutable, so a changed document is a new file. The former file answers until the new one is indexed,
and is withdrawn in the transaction that records this. So the document is never missing, and a file that cannot be read
removes nothing. Every function works in the caller's transaction; bytes are written before and removed after it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from services.database.tables import File, Job, Source, SourceDocument, StoreFile, now
from services.domain.jobs import new_job
from services.domain.removal import Withdrawn, withdraw
from services.domain.store_files import stop_indexing, want_again


def put(
    session: Session, source: Source, key: str, file: File, digest: str, hint: str | None, deadline_seconds: float
) -> tuple[Job, list[Withdrawn]]:
    """Add a new or changed document's file to the source's store; returns the job that indexes it.

    A revision that never answered is withdrawn at once; one that answers stays until this one is indexed.
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
    """Queue a document again, with the source's attributes. None if it was withdrawn meanwhile."""
    row = session.get(StoreFile, (source.store_id, file_id))
    if row is None or row.deleted:
        return None
    want_again(row)
    row.status, row.error, row.attributes = "in_progress", None, dict(source.settings.get("attributes") or {})
    return _index(session, row, deadline_seconds)


def withdraw_former(session: Session, file_id: str) -> list[Withdrawn]:
    """Withdraw the file that an indexed file replaces."""
    document = session.scalar(
        select(SourceDocument).where(SourceDocument.file_id == file_id, SourceDocument.former_file_id.is_not(None))
    )
    if document is None or document.former_file_id is None:
        return []
    former, document.former_file_id = document.former_file_id, None
    return withdraw(session, [former])


def withdraw_documents(session: Session, source_id: str, keys: Sequence[str]) -> list[Withdrawn]:
    """Hide a source's documents at once and forget them."""
    which = SourceDocument.source_id == source_id, SourceDocument.key.in_(keys)
    rows = session.execute(select(SourceDocument.file_id, SourceDocument.former_file_id).where(*which)).all()
    session.execute(delete(SourceDocument).where(*which))
    return withdraw(session, [file_id for row in rows for file_id in row if file_id])


def _answers(session: Session, store_id: str, file_id: str) -> bool:
    """Whether a file answers by now. One that does not yet never will: a worker that is indexing it now is too late.

    The update decides, not an earlier read.
    """
    unindexed = StoreFile.store_id == store_id, StoreFile.file_id == file_id, StoreFile.indexed_at.is_(None)
    if stop_indexing(session, *unindexed):
        return False
    row = session.get(StoreFile, (store_id, file_id), populate_existing=True)
    return row is not None and not row.deleted


def _index(session: Session, row: StoreFile, deadline_seconds: float) -> Job:
    request = {"store_id": row.store_id, "file_id": row.file_id, "revision": row.revision, "asked_by": "sync"}
    job = new_job(row.workspace_id, "index_file", request, deadline_seconds)
    session.add(job)
    return job
