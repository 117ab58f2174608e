"""Which data sets and versions of a workspace contain the text of a file or an answer."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select

from services.database.engine import Sessions
from services.database.tables import File, Turn
from services.domain.lineage import Lineage, lineage
from services.kit.errors import ApiError


class Lineages:
    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def of(self, workspace_id: str, origin_id: str) -> Lineage:
        """What contains the text of a file or an answer, deleted or not; nothing for an unknown id."""
        with self._sessions() as session:
            return lineage(session, workspace_id, origin_id)

    def of_file(self, workspace_id: str, file_id: str, purposes: Collection[str]) -> Lineage:
        """Raises ApiError 404 for a file that never existed, or that has another purpose."""
        mine = File.id == file_id, File.workspace_id == workspace_id, File.purpose.in_(purposes)
        with self._sessions() as session:
            known = session.scalar(select(File.id).where(*mine))
        if known is None:
            raise ApiError(404, f"There is no file '{file_id}'.", code="file_not_found", param="file_id")
        return self.of(workspace_id, file_id)

    def of_answer(self, workspace_id: str, answer_id: str) -> Lineage:
        """Raises ApiError 404 for an answer that is not in the journal, unless something was made from it."""
        found = self.of(workspace_id, answer_id)
        mine = Turn.id == answer_id, Turn.workspace_id == workspace_id
        with self._sessions() as session:
            known = session.scalar(select(Turn.id).where(*mine))
        if known is None and not (found.data_sets or found.versions):
            raise ApiError(404, f"There is no answer '{answer_id}'.", code="answer_not_found", param="id")
        return found
