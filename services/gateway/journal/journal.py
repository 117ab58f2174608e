"""The record of every answer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from services.database.engine import Sessions
from services.database.tables import Example, Feedback, Turn
from services.domain.examples import Use, uses_of_turn
from services.domain.journal import forget_turns
from services.gateway.answering.evidence import citation_bodies, passage_bodies
from services.gateway.answering.turn import Answer, Question
from services.gateway.http.access import lacks
from services.gateway.http.callers import Caller
from services.kit.errors import ApiError

MOST_EARLIER = 50


@dataclass(frozen=True)
class Deleted:
    """What still contains a deleted answer's text: approved examples, and files with what was trained on them."""

    example_ids: tuple[str, ...]
    uses: tuple[Use, ...]


def _response(session: Session, workspace_id: str, turn_id: str) -> Turn | None:
    query = select(Turn).where(Turn.id == turn_id, Turn.workspace_id == workspace_id, Turn.response.is_not(None))
    return session.scalar(query)


def _check_feedback(session: Session, caller: Caller, turn_id: str) -> None:
    of_others = Feedback.turn_id == turn_id, Feedback.key_id.is_distinct_from(caller.key_id)
    if "voice" not in caller.scopes and session.scalar(select(Feedback.id).where(*of_others).limit(1)):
        raise lacks(["voice"], f"Other keys gave feedback on '{turn_id}'. Deleting it")


class Journal:
    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def record(self, turn_id: str, question: Question, answer: Answer, response: dict[str, Any] | None = None) -> None:
        turn = Turn(
            id=turn_id,
            workspace_id=question.workspace_id,
            model=question.choice.name,
            mode=question.choice.mode,
            question=question.text,
            answer=answer.text,
            messages=[asdict(message) for message in answer.messages],
            passages=passage_bodies(answer.passages),
            citations=citation_bodies(answer),
            timings=answer.timings,
            versions={**answer.versions, "sampling": question.sampling},
            response=response,
        )
        with self._sessions.begin() as session:
            session.add(turn)

    def find(self, workspace_id: str, turn_id: str) -> Turn:
        with self._sessions() as session:
            turn = session.scalar(select(Turn).where(Turn.id == turn_id, Turn.workspace_id == workspace_id))
        if turn is None:
            raise ApiError(404, f"There is no answer '{turn_id}'.", code="answer_not_found", param="id")
        return turn

    def response(self, workspace_id: str, turn_id: str) -> Turn:
        """A turn that was asked for in the Responses shape."""
        with self._sessions() as session:
            turn = _response(session, workspace_id, turn_id)
        if turn is None:
            raise ApiError(404, f"There is no response '{turn_id}'.", code="response_not_found", param="response_id")
        return turn

    def conversation(self, workspace_id: str, turn_id: str) -> list[Turn]:
        """A response and the ones before it, oldest first, as far back as they are stored; at most MOST_EARLIER."""
        turns: list[Turn] = []
        with self._sessions() as session:
            wanted: str | None = turn_id
            while wanted and len(turns) < MOST_EARLIER and (turn := _response(session, workspace_id, wanted)):
                turns.append(turn)
                wanted = turn.response["body"]["previous_response_id"] if turn.response else None
        if not turns:
            message = f"There is no response '{turn_id}' to go on from."
            raise ApiError(404, message, code="previous_response_not_found", param="previous_response_id")
        return turns[::-1]

    def forget(self, caller: Caller, turn_id: str) -> None:
        """Delete a response from the journal, and the feedback on it. Raises ApiError 403 as `delete` does."""
        self.response(caller.workspace_id, turn_id)
        with self._sessions.begin() as session:
            _check_feedback(session, caller, turn_id)
            forget_turns(session, [turn_id])

    def delete(self, caller: Caller, turn_id: str, with_examples: bool) -> Deleted:
        """Delete an answer with the feedback on it and, if wanted, the approved examples made from it.

        Raises ApiError 403 if other keys gave feedback on it and the caller's scopes do not allow deleting that.
        """
        workspace_id = caller.workspace_id
        self.find(workspace_id, turn_id)
        approved = select(Example.id).where(Example.turn_id == turn_id, Example.status == "approved")
        with self._sessions.begin() as session:
            _check_feedback(session, caller, turn_id)
            uses, kept = uses_of_turn(session, workspace_id, turn_id), session.scalars(approved).all()
            if with_examples:
                session.execute(delete(Example).where(Example.turn_id == turn_id))
            forget_turns(session, [turn_id])
        return Deleted(() if with_examples else tuple(kept), tuple(uses))
