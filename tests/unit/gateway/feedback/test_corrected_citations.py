"""What feedback on wrong citations teaches retrieval: questions whose right document is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from retrieval.model import Chunk, FileRef
from services.database.engine import Sessions, open_sessions
from services.database.tables import Base, Feedback, File, Store, StoreFile, Turn, Workspace
from services.retrieval.reindexing.questions import StoredQuestion, stored_questions
from services.retrieval.reindexing.recall import expected
from services.worker.embedders.data import corrected_citations

EMPTY: dict[str, Any] = {"messages": [], "passages": [], "citations": [], "timings": {}, "versions": {}}


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    """Two stores with a file each; three questions, of which the feedback on two names a file."""
    opened = open_sessions(f"sqlite:///{tmp_path}/tandem.db")
    with opened.begin() as session:
        Base.metadata.create_all(session.connection())
        session.add(Workspace(id="w", name="w"))
        session.flush()
        for name in ("here", "there"):
            session.add(Store(id=f"vs_{name}", workspace_id="w", name=name))
            session.add(
                File(id=name, workspace_id="w", filename=name, purpose="assistants", bytes=1, sha256="", path="")
            )
            session.flush()
            session.add(
                StoreFile(store_id=f"vs_{name}", file_id=name, workspace_id="w", revision=1, status="completed")
            )
        for number, (file_id, quote) in enumerate([("here", "ten bells"), ("there", None), (None, None)]):
            turn = Turn(id=f"t{number}", workspace_id="w", model="m", mode="rag", answer="A", **EMPTY)
            turn.question = f"Question {number} about lamps?"
            session.add(turn)
            session.flush()
            reason = "wrong_citation" if file_id else "wrong_fact"
            session.add(
                Feedback(id=f"fb{number}", workspace_id="w", turn_id=turn.id, rating="down", reason=reason,
                         correct_file_id=file_id, correct_quote=quote)
            )  # fmt: skip
    return opened


def chunk(number: int, file_id: str, text: str) -> Chunk:
    return Chunk(f"c{number}", FileRef("w", "vs", file_id, 1), number, text, file_id, "", (), None, 0, len(text))


def test_the_chunk_with_the_quote_answers_the_question_whose_citation_was_wrong(sessions: Sessions) -> None:
    chunks = [
        chunk(0, "here", "Lamps are listed in the question of price."),
        chunk(1, "here", "The shop has ten bells in stock."),
        chunk(2, "there", "Pumps are on the wall."),
        chunk(3, "there", "Lamps hang over the door."),
    ]
    found = corrected_citations(sessions, "w", chunks)
    assert [(one.question, [held.id for held in one.cited]) for one in found] == [
        ("Question 0 about lamps?", ["c1"]),
        ("Question 1 about lamps?", ["c3"]),
    ]
    assert len(corrected_citations(sessions, "w", chunks[:2])) == 1
    assert corrected_citations(sessions, "another", chunks) == []


def test_questions_with_a_known_document_of_the_store_come_first(sessions: Sessions) -> None:
    asked = stored_questions(sessions, "w", "vs_here", 10)
    assert asked[0] == StoredQuestion("Question 0 about lamps?", "here")
    assert {one.text for one in asked[1:]} == {"Question 1 about lamps?", "Question 2 about lamps?"}
    assert [one.document for one in asked[1:]] == [None, None]
    assert stored_questions(sessions, "w", "vs_here", 1) == asked[:1]
    assert stored_questions(sessions, "another", "vs_here", 10) == []


def test_a_deleted_document_is_not_expected_any_more(sessions: Sessions) -> None:
    with sessions.begin() as session:
        session.get_one(StoreFile, ("vs_here", "here")).deleted = True
    assert all(one.document is None for one in stored_questions(sessions, "w", "vs_here", 10))


def test_a_new_build_owes_the_known_document_alone_and_only_where_the_live_one_finds_it() -> None:
    found = ["a", "b", "c", "d"]
    assert expected(found, None) == ["a", "b", "c"]
    assert expected(found, "d") == ["d"]
    assert expected(found, "elsewhere") == []
