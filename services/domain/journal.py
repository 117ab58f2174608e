"""Removes answers from the journal, with what belongs to them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from retrieval.model import Chunk, FileRef
from services.database.engine import Sessions
from services.database.tables import Example, Feedback, Turn, Workspace

AT_ONCE = 500  # answers a transaction, so that others can write between two


def forget_turns(session: Session, turn_ids: Sequence[str]) -> None:
    """Remove answers, the feedback on them, and the examples from them that nobody has approved.

    Approved examples keep their text; they no longer name the answer.
    """
    of_them = Example.turn_id.in_(turn_ids)
    session.execute(delete(Example).where(of_them, Example.status != "approved"))
    session.execute(update(Example).where(of_them).values(turn_id=None, feedback_id=None))
    session.execute(delete(Feedback).where(Feedback.turn_id.in_(turn_ids)))
    session.execute(delete(Turn).where(Turn.id.in_(turn_ids)))


def forget_before(sessions: Sessions, moment: datetime) -> int:
    """Remove every answer given before a given time, in every workspace; returns how many."""
    with sessions() as session:
        workspaces = session.scalars(select(Workspace.id)).all()
    return sum(_forget_before(sessions, workspace_id, moment) for workspace_id in workspaces)


def _forget_before(sessions: Sessions, workspace_id: str, moment: datetime) -> int:
    old = select(Turn.id).where(Turn.workspace_id == workspace_id, Turn.created_at < moment).limit(AT_ONCE)
    count = 0
    while True:
        with sessions.begin() as session:
            turn_ids = session.scalars(old).all()
            forget_turns(session, turn_ids)
        count += len(turn_ids)
        if len(turn_ids) < AT_ONCE:
            return count


def passage_chunk(workspace_id: str, passage: dict[str, Any]) -> Chunk:
    """A passage of the journal as a chunk; its place in its document is not known any more."""
    text = passage["text"]
    return Chunk(
        id=passage["chunk_id"],
        source=FileRef(workspace_id, "", passage["file_id"], passage["revision"]),
        position=0,
        text=text,
        filename=passage["filename"],
        title=passage["title"],
        headings=tuple(passage["headings"]),
        page=passage["page"],
        start=0,
        end=len(text),
    )
