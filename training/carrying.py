"""Which passage an answer was written from, found by its words. Rows and evaluation use the same rule."""

from __future__ import annotations

from collections.abc import Sequence

from retrieval.answers.grounding import passage_text
from retrieval.model import Passage
from retrieval.text.markers import strip_markers
from retrieval.text.words import content_words

CARRIED = 0.5
"""A passage that has at least this share of an answer's words, figures counted three times, counts as the one that
answers.
"""
CARRIED_BY_NAMED = 0.3
"""The same for a passage of a document that the data set names: an answer in the house's own words shares few
with it."""


def source(answer: str, passages: Sequence[Passage], documents: Sequence[str] = ()) -> Passage | None:
    """The passage that has the largest part of the answer; if documents are named, only passages of those count."""
    carrying = [passage for passage in passages if carries(answer, passage, documents)]
    return max(carrying, key=lambda passage: answer_support(answer, passage), default=None)


def carries(answer: str, passage: Passage, documents: Sequence[str] = ()) -> bool:
    """Whether the answer can come from the passage; if documents are named, the passage must be of one of those."""
    if documents:
        return passage.chunk.filename in documents and answer_support(answer, passage) >= CARRIED_BY_NAMED
    return answer_support(answer, passage) >= CARRIED


def answer_support(answer: str, passage: Passage) -> float:
    """The share of the answer's words that are in the passage, its figures counted three times; in 0..1."""
    words = content_words(strip_markers(answer))
    known = content_words(passage_text(passage))
    weights = {word: 3 if any(letter.isdigit() for letter in word) else 1 for word in words}
    return sum(weight for word, weight in weights.items() if word in known) / max(1, sum(weights.values()))
