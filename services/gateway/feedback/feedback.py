"""Verdicts on answers, and the examples that they propose."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from sqlalchemy import and_, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from services.database.engine import Sessions
from services.database.tables import Example, Feedback, Turn, now
from services.gateway.feedback.proposals import Proposing, proposals
from services.gateway.feedback.schemas import FeedbackCreate
from services.gateway.files.files import Files
from services.gateway.http.paging import Cursor, Place, read_page
from services.gateway.http.visibility import DOCUMENTS
from services.gateway.journal.journal import Journal
from services.kit.errors import ApiError

UNSAFE_NOTE = "Taken back: the answer that this came from was marked as unsafe."


class Verdicts:
    """Feedback on the answers of a journal."""

    def __init__(self, sessions: Sessions, journal: Journal, files: Files, proposing: Proposing) -> None:
        self._sessions, self._journal, self._files, self._proposing = sessions, journal, files, proposing

    def give(self, workspace_id: str, key_id: str, asked: FeedbackCreate) -> Feedback:
        """Store a verdict. It replaces the same key's earlier verdict on the answer; verdicts of other keys stay.

        Raises ApiError 404 for an answer or a file that does not exist.
        """
        turn, document = self._journal.find(workspace_id, asked.answer_id), None
        if asked.correct_file_id is not None:
            document = self._files.find(workspace_id, asked.correct_file_id, DOCUMENTS, "correct_file_id").filename
        with self._sessions.begin() as session:
            feedback = _stored(session, workspace_id, key_id, asked)
            if feedback.reason == "unsafe":
                _take_back(session, feedback)
            _propose(session, turn, feedback, document, self._proposing)
        return feedback

    def list(
        self,
        workspace_id: str,
        answer_id: str | None,
        rating: str | None,
        reason: str | None,
        cursor: Cursor,
        only_by: str | None = None,
    ) -> tuple[Sequence[Feedback], bool]:
        """A page of verdicts, and whether there are more. `only_by` is the id of a key: then only its own."""
        query = select(Feedback).where(Feedback.workspace_id == workspace_id)
        query = query.where(Feedback.key_id == only_by) if only_by is not None else query
        seen = query
        for column, value in ((Feedback.turn_id, answer_id), (Feedback.rating, rating), (Feedback.reason, reason)):
            query = query.where(column == value) if value is not None else query

        with self._sessions() as session:

            def place(feedback_id: str) -> Place:
                row = session.scalar(seen.where(Feedback.id == feedback_id))
                if row is None:
                    message = f"There is no feedback '{feedback_id}'."
                    raise ApiError(404, message, code="feedback_not_found", param="after")
                return row.created_at, row.id

            rows, more = read_page(session, query, Feedback.created_at, Feedback.id, cursor, place)
        return [row for (row,) in rows], more


def _stored(session: Session, workspace_id: str, key_id: str, asked: FeedbackCreate) -> Feedback:
    mine = and_(Feedback.turn_id == asked.answer_id, Feedback.key_id == key_id)
    values = asked.model_dump(exclude={"answer_id"})
    change = update(Feedback).where(mine).values(**values)
    if session.execute(change).rowcount == 0:  # type: ignore[attr-defined]
        row = Feedback(id=f"fb-{secrets.token_hex(12)}", workspace_id=workspace_id, turn_id=asked.answer_id,
                       key_id=key_id, **values)  # fmt: skip
        try:
            with session.begin_nested():
                session.add(row)
        except IntegrityError:  # the same key gave another verdict at this very moment
            session.execute(change)
    return session.scalars(select(Feedback).where(mine)).one()


def _take_back(session: Session, feedback: Feedback) -> None:
    """No example from an unsafe answer stays proposed or approved, whoever proposed it."""
    of_answer = Example.turn_id == feedback.turn_id
    session.execute(delete(Example).where(of_answer, Example.status == "proposed"))
    verdict = {"status": "rejected", "reviewed_by": feedback.key_id, "reviewed_at": now(), "note": UNSAFE_NOTE}
    session.execute(update(Example).where(of_answer, Example.status == "approved").values(**verdict))


def _propose(session: Session, turn: Turn, feedback: Feedback, document: str | None, proposing: Proposing) -> None:
    """Replace the examples that the verdict proposed before. Those that a reviewer has decided on stay as they are."""
    unsafe = select(Feedback.id).where(Feedback.turn_id == turn.id, Feedback.reason == "unsafe").limit(1)
    made = [] if session.scalar(unsafe) else proposals(turn, feedback, document, proposing)
    of_verdict = Example.feedback_id == feedback.id
    session.execute(delete(Example).where(of_verdict, Example.reviewed_at.is_(None)))
    decided = {(one.kind, one.answer, one.rejected) for one in session.scalars(select(Example).where(of_verdict))}
    session.add_all(one for one in made if (one.kind, one.answer, one.rejected) not in decided)
