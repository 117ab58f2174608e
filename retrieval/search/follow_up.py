"""Searches for questions that depend on the conversation before them.

A search looks for the question and, with less weight, for the text before it. So a word that points back finds its
subject, and little is lost if the subject has changed. Only the search sees this; the model sees the question as it was
asked. benchmarks/follow_up.py measures this against other ways.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from retrieval.embedding.embedder import Bm25Encoder, Dense, Embedder
from retrieval.model import SparseVector
from retrieval.text.pronouns import CONNECTIVES, POINTING
from retrieval.text.scripts import spaced, words_about
from retrieval.text.stop_words import QUESTION_STOP_WORDS
from retrieval.text.words import QUESTION_WORD

STANDS_ALONE = 5  # a question with this many content words of its own is left alone
MOST_TURNS = 3
MOST_WORDS = 64
MOST_CHARACTERS = 1000  # of those words: a text without spaces is one word, whatever its length
QUESTION_WEIGHT = 0.7  # on mtrag_un recall@5 is 0.912 with it, 0.849 for the question alone (docs/retrieval.md)


def question_vectors(
    query: str, history: Sequence[str], embedder: Embedder, bm25: Bm25Encoder
) -> tuple[Dense, SparseVector]:
    """Both vectors of a question in its conversation; `history` is the earlier user turns, oldest first.

    The question's own vectors have the weight QUESTION_WEIGHT, those of the context the rest; the dense one keeps
    length one.
    """
    dense, sparse = embedder.embed_query(query), bm25.query(query)
    before = context(history)
    if not before:
        return dense, sparse
    return _mixed_dense(dense, embedder.embed_query(before)), _mixed_sparse(sparse, bm25.query(before))


def context(history: Sequence[str]) -> str:
    """The context of a question: the turn before it and, if that turn refers back, the one before that too."""
    turns = [turn for turn in history if turn.strip()][-MOST_TURNS:]
    return " ".join(_with_context(turns).split()[-MOST_WORDS:])[-MOST_CHARACTERS:] if turns else ""


def standalone_query(query: str, history: Sequence[str]) -> str:
    """The question in words that can be understood alone, for display and for judging.

    A question that points back ("does it...", "and for..."), or has at most one content word of its own, gets the turn
    before it in front. If that turn refers back too, it gets its own predecessor; three turns at most.
    """
    query = query.strip()
    if not history or not _leans(query):
        return query
    return f"{context(history)} {query}".strip()


def _with_context(turns: list[str]) -> str:
    last = turns[-1].strip()
    if len(turns) == 1 or not _leans(last):
        return last
    return f"{_with_context(turns[:-1])} {last}"


def _leans(question: str) -> bool:
    words = [word.casefold() for word in QUESTION_WORD.findall(spaced(question))]
    content = [word for word in words if word not in QUESTION_STOP_WORDS and word not in POINTING]
    unspaced = words_about(question)
    if len(content) + unspaced >= STANDS_ALONE:
        return False
    if unspaced:  # whether one of so few words points back is not told here
        return True
    opens = question.casefold().startswith(CONNECTIVES)
    return opens or len(content) <= 1 or any(word in POINTING for word in words)


def _mixed_dense(question: Dense, before: Dense) -> Dense:
    mixed = [QUESTION_WEIGHT * own + (1 - QUESTION_WEIGHT) * other for own, other in zip(question, before, strict=True)]
    length = math.sqrt(math.fsum(number * number for number in mixed)) or 1.0
    return tuple(number / length for number in mixed)


def _mixed_sparse(question: SparseVector, before: SparseVector) -> SparseVector:
    terms = {term: QUESTION_WEIGHT * value for term, value in zip(question.indices, question.values, strict=True)}
    for term, value in zip(before.indices, before.values, strict=True):
        terms[term] = terms.get(term, 0.0) + (1 - QUESTION_WEIGHT) * value
    return SparseVector(tuple(terms), tuple(terms.values()))
