"""The record of every answer, and the feedback on it."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from typing import Any

from sqlalchemy import select

from retrieval.model import Citation, Passage
from services.database.engine import Sessions
from services.database.tables import Feedback, Turn
from services.gateway.answering import Answer, Question
from services.kit.errors import ApiError


def citation_body(citation: Citation, answer: str) -> dict[str, Any]:
    """One entry of `message.citations`."""
    chunk = citation.passage.chunk
    return {
        "index": citation.index,
        "file_id": chunk.source.file_id,
        "filename": chunk.filename,
        "title": chunk.title,
        "url": chunk.url,
        "page": chunk.page,
        "quote": citation.quote,
        "start_index": citation.start,
        "end_index": citation.end,
        "text": answer[citation.start : citation.end],
        "score": citation.passage.score,
        "support": citation.support,
        "supported": citation.supported,
        "origin": citation.origin,
    }


def passage_summary(passage: Passage, number: int) -> dict[str, Any]:
    """One entry of `passages`: what stood in the prompt under this number."""
    chunk = passage.chunk
    return {
        "index": number,
        "chunk_id": chunk.id,
        "file_id": chunk.source.file_id,
        "revision": chunk.source.revision,
        "filename": chunk.filename,
        "title": chunk.title,
        "headings": list(chunk.headings),
        "page": chunk.page,
        "text": chunk.text,
        "score": passage.score,
    }


class Journal:
    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def record(self, turn_id: str, question: Question, answer: Answer) -> None:
        turn = Turn(
            id=turn_id,
            workspace_id=question.workspace_id,
            model=question.choice.name,
            mode=question.choice.mode,
            question=question.text,
            answer=answer.text,
            messages=[asdict(message) for message in answer.messages],
            passages=[passage_summary(passage, number) for number, passage in enumerate(answer.passages, start=1)],
            citations=[citation_body(citation, answer.text) for citation in answer.citations],
            timings=answer.timings,
            versions={**answer.versions, "sampling": question.sampling},
        )
        with self._sessions.begin() as session:
            session.add(turn)

    def find(self, workspace_id: str, turn_id: str) -> Turn:
        with self._sessions() as session:
            turn = session.scalar(select(Turn).where(Turn.id == turn_id, Turn.workspace_id == workspace_id))
        if turn is None:
            raise ApiError(404, f"There is no answer '{turn_id}'.", code="answer_not_found", param="id")
        return turn

    def add_feedback(
        self, workspace_id: str, turn_id: str, rating: str, reason: str | None, correction: str | None
    ) -> Feedback:
        self.find(workspace_id, turn_id)
        feedback = Feedback(
            id=f"fb-{secrets.token_hex(12)}",
            workspace_id=workspace_id,
            turn_id=turn_id,
            rating=rating,
            reason=reason,
            correction=correction,
        )
        with self._sessions.begin() as session:
            session.add(feedback)
        return feedback
