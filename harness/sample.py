"""The sample company's documents and kept-out questions."""

from __future__ import annotations

from harness.jsonl import read_jsonl
from harness.places import BRINDLE
from training.judging.questions import Question


def sample_documents() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((BRINDLE / "documents").iterdir())}


def sample_questions() -> list[Question]:
    """The sample's 40 answerable and 15 unanswerable questions, none of them in its training examples."""
    answerable = [
        Question(row["question"], True, row["document"], row["answer"], tuple(map(tuple, row["facts"])))
        for row in read_jsonl(BRINDLE / "questions.jsonl")
    ]
    return answerable + [Question(row["question"], False) for row in read_jsonl(BRINDLE / "unanswerable.jsonl")]
