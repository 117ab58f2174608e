"""What the database knows about a source while it is synchronised, and which job synchronises it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import and_, or_, select, update
from sqlalchemy.orm import Session

from retrieval.errors import SourceRefused, SyncStopped
from services.database.engine import Sessions
from services.database.tables import File, Job, Source, SourceDocument, Store, StoreFile, now
from services.domain.jobs import SILENT_SECONDS

AT_ONCE = 500


@dataclass(frozen=True)
class Known:
    """A document as last seen. `present`: its file is still in the store; `status`: the state of its indexing."""

    file_id: str
    sha256: str
    hint: str | None
    status: str
    attributes: Mapping[str, Any]
    present: bool


class SourceBusy(SyncStopped):
    """Another sync of the same source is running; this one can begin when that one has ended."""


class SyncState:
    def __init__(self, sessions: Sessions, source_id: str, job_id: str) -> None:
        self._sessions, self.source_id, self._job_id = sessions, source_id, job_id
        self.workspace_id = ""

    def hold(self) -> Source:
        """Claim the source for this job, unless another live job has it. A deleted source is taken even from a live
        job.

        Raises SourceBusy, SyncStopped, SourceRefused.
        """
        silent = now() - timedelta(seconds=SILENT_SECONDS)
        alive = select(Job.id).where(Job.status == "running", Job.heartbeat_at >= silent, Job.id != self._job_id)
        free = or_(Source.job_id.is_(None), Source.job_id.not_in(alive), Source.deleted_at.is_not(None))
        with self._sessions.begin() as session:
            taken = update(Source).where(and_(Source.id == self.source_id, free)).values(job_id=self._job_id)
            held = session.execute(taken).rowcount == 1  # type: ignore[attr-defined]
            source = session.get(Source, self.source_id)
            store = session.get(Store, source.store_id) if source else None
        if source is None:
            raise SourceRefused(f"There is no source '{self.source_id}' any more.")
        if not held:
            raise SourceBusy(f"another sync of '{source.name}' is under way")
        if source.deleted_at is None and (store is None or store.deleted_at is not None):
            self.release()
            raise SyncStopped(f"The store {source.store_id} of '{source.name}' was deleted; delete the source too.")
        self.workspace_id = source.workspace_id
        return source

    def check_held(self, session: Session) -> None:
        """Raises SyncStopped if the source was deleted, or another job has claimed it since this one fell silent."""
        held = update(Source).where(Source.id == self.source_id, Source.job_id == self._job_id)
        if session.execute(held.values(job_id=self._job_id)).rowcount == 0:  # type: ignore[attr-defined]
            raise SyncStopped("The source was deleted, or another sync has taken it over.")

    def release(self) -> None:
        mine = Source.id == self.source_id, Source.job_id == self._job_id
        with self._sessions.begin() as session:
            session.execute(update(Source).where(*mine).values(job_id=None))

    def known(self) -> dict[str, Known]:
        """The source's documents by key."""
        query = (
            select(SourceDocument, StoreFile.status, StoreFile.attributes, StoreFile.deleted, File.deleted_at)
            .join(Source, Source.id == SourceDocument.source_id)
            .join(File, File.id == SourceDocument.file_id)
            .outerjoin(
                StoreFile, and_(StoreFile.store_id == Source.store_id, StoreFile.file_id == SourceDocument.file_id)
            )
            .where(SourceDocument.source_id == self.source_id)
        )
        with self._sessions() as session:
            return {
                row.key: Known(
                    row.file_id, row.sha256, row.hint, status or "", attributes or {}, deleted is False and gone is None
                )
                for row, status, attributes, deleted, gone in session.execute(query)
            }

    def remember_hint(self, key: str, hint: str | None) -> None:
        """Record a new time stamp or ETag of the same content."""
        row = SourceDocument.source_id == self.source_id, SourceDocument.key == key
        with self._sessions.begin() as session:
            session.execute(update(SourceDocument).where(*row).values(hint=hint))

    def record(self, report: dict[str, Any], problem: str | None, seen: Iterable[str]) -> None:
        """Store the report with the source, and when its documents were last seen."""
        moment, keys = now(), sorted(seen)
        with self._sessions.begin() as session:
            for start in range(0, len(keys), AT_ONCE):
                some = SourceDocument.source_id == self.source_id, SourceDocument.key.in_(keys[start : start + AT_ONCE])
                session.execute(update(SourceDocument).where(*some).values(seen_at=moment))
            ended: dict[str, Any] = {"last_report": report, "last_error": problem}
            ended |= {} if problem else {"last_synced_at": moment}
            session.execute(update(Source).where(Source.id == self.source_id).values(**ended))
