"""What the database says about a file's indexing."""

from __future__ import annotations

from sqlalchemy import ColumnElement, case, update

from retrieval.errors import EmbedderMismatch, InputError, UnsupportedFormat
from retrieval.model import FileRef
from services.database.engine import Sessions
from services.database.tables import Job, StoreFile

KEPT = "what was indexed of it before goes on answering"


def of_revision(source: FileRef) -> tuple[ColumnElement[bool], ...]:
    """Conditions: the row of this revision of the file, while the revision is still the wanted one."""
    return (
        StoreFile.store_id == source.store_id,
        StoreFile.file_id == source.file_id,
        StoreFile.revision == source.revision,
        StoreFile.deleted.is_(False),
    )


def record_failure(sessions: Sessions, job: Job, reason: str, error: Exception | None = None) -> None:
    """Record that the revision of an `index_file` job could not be indexed; `error` is the exception, if there was one.
    An earlier revision in the index continues to answer.
    """
    asked = job.request
    source = FileRef(job.workspace_id, asked["store_id"], asked["file_id"], asked["revision"])
    told = case((StoreFile.former_revision.is_not(None), f"{reason}; {KEPT}"), else_=reason)
    values = {"status": "failed", "error": told, "error_code": error_code(error)}
    with sessions.begin() as session:
        session.execute(update(StoreFile).where(*of_revision(source)).values(**values))


def error_code(error: Exception | None) -> str:
    """OpenAI's code for the reason why a file could not be indexed."""
    if isinstance(error, UnsupportedFormat):
        return "unsupported_file"
    is_the_file = isinstance(error, InputError) and not isinstance(error, EmbedderMismatch)
    return "invalid_file" if is_the_file else "server_error"
