"""Removes what is stored for a limited time: files that were uploaded that way, and the journal's answers."""

from __future__ import annotations

import logging
from datetime import timedelta

from sqlalchemy import select

from retrieval.errors import IndexUnavailable
from services.database.engine import Sessions
from services.database.tables import File, now
from services.domain.files import remove_bytes
from services.domain.journal import forget_before
from services.domain.removal import remove_files
from services.worker.alone import alone
from services.worker.retrieval_client import RetrievalDown, RetrievalWriter

log = logging.getLogger(__name__)


class Expiry:
    """Searches leave out a file from the second it expires; this removes its data.

    Answers are kept for `journal_days`; None keeps them forever.
    """

    def __init__(self, sessions: Sessions, writer: RetrievalWriter, journal_days: float | None = None) -> None:
        self._sessions, self._writer, self._journal_days = sessions, writer, journal_days

    def remove_expired(self) -> int:
        """Remove every expired file; returns how many there are.

        If the retrieval service does not answer, the remaining files wait for the next time: asking it for each of a
        thousand files would delay the tick for hours.
        """
        over = select(File).where(File.expires_at <= now(), File.deleted_at.is_(None))
        with self._sessions() as session:
            files = session.scalars(over).all()
        for file in files:
            with alone(f"the removal of the expired file {file.id}"):
                if not self._remove(file):
                    break
        return len(files)

    def forget_answers(self) -> int:
        """Remove the answers that are too old, with the feedback on them; returns how many."""
        if self._journal_days is None:
            return 0
        count = forget_before(self._sessions, now() - timedelta(days=self._journal_days))
        if count:
            log.info("%d answers older than %g days left the journal", count, self._journal_days)
        return count

    def _remove(self, file: File) -> bool:
        """Whether the retrieval service answered."""
        with self._sessions.begin() as session:
            stores = remove_files(session, [file.id])
        remove_bytes(file.path)
        for store_id in stores:
            try:
                self._writer.delete_file(file.workspace_id, store_id, file.id)
            except IndexUnavailable as error:
                log.warning("points of the expired file %s stay in store %s, hidden: %s", file.id, store_id, error)
                if isinstance(error, RetrievalDown):
                    return False
        return True
