"""Questions from the journal, used to compare two builds of a store's index."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from services.database.engine import Sessions
from services.database.tables import Feedback, StoreFile, Turn

LOOKED_THROUGH = 10  # answers for each question wanted: users ask the same again


@dataclass(frozen=True)
class StoredQuestion:
    """`document` is the file that answers it, if the feedback on a wrong citation names it."""

    text: str
    document: str | None = None


def stored_questions(sessions: Sessions, workspace_id: str, store_id: str, most: int) -> list[StoredQuestion]:
    """At most `most` different questions: first the latest whose document in this store is known, then the latest of
    all.
    """
    mine = select(Turn.question).where(Turn.workspace_id == workspace_id).order_by(Turn.created_at.desc())
    known = select(Turn.question, Feedback.correct_file_id).join(Feedback, Feedback.turn_id == Turn.id)
    known = known.join(StoreFile, StoreFile.file_id == Feedback.correct_file_id)
    known = known.where(Turn.workspace_id == workspace_id, Feedback.reason == "wrong_citation")
    known = known.where(StoreFile.store_id == store_id, StoreFile.deleted.is_(False), StoreFile.status == "completed")
    with sessions() as session:
        told = session.execute(known.order_by(Feedback.created_at.desc()).limit(most * LOOKED_THROUGH)).all()
        asked = session.scalars(mine.limit(most * LOOKED_THROUGH)).all()
    found: dict[str, StoredQuestion] = {}
    for text, document in told:
        found.setdefault(text, StoredQuestion(text, document))
    for text in asked:
        found.setdefault(text, StoredQuestion(text))
    return list(found.values())[:most]
