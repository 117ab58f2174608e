"""The guard that reads an answer's first sentence before anybody else does.

A small model asked about something that no passage answers makes an answer up. What it makes up is seldom supported:
so its first statement is held back until the check has read it, and where no passage supports it the server says that
the documents do not answer. It cannot tell a near miss, where a passage supports a statement that does not answer the
question; and an answer in another language than the documents', or in words that are all its own, is refused wrongly.
benchmarks/guard.py measures both.
"""

from __future__ import annotations

from collections.abc import Sequence

from retrieval.answers.grounding import is_refusal, passage_text
from retrieval.answers.support import SUPPORT_THRESHOLD, support
from retrieval.model import Passage
from retrieval.text.layout import HEADLINE, RULED
from retrieval.text.markers import strip_markers
from retrieval.text.sentences import NO_STATEMENT, sentences
from retrieval.text.words import content_words

LEAST_WORDS = 3
"""A sentence of fewer content words ("Yes.", "It does.") says nothing that could be checked."""
MOST_HELD = 1200
"""Characters after which what there is is judged, though no sentence has ended."""


def first_statement(answer: str, ended: bool) -> str | None:
    """The first sentence that says something, markers taken off; None while it is not whole yet.

    Of an answer that has `ended` without one, or goes on without an end: all of it.
    """
    spans = sentences(answer)
    whole = spans if ended else spans[:-1]
    for start, end in whole:
        sentence = strip_markers(answer[start:end])
        if HEADLINE.match(sentence) or RULED.match(answer, end):
            continue
        if len(content_words(sentence)) >= LEAST_WORDS and not sentence.rstrip().endswith(NO_STATEMENT):
            return sentence
    return strip_markers(answer) if ended or len(answer) > MOST_HELD else None


def opens_supported(answer: str, passages: Sequence[Passage]) -> bool:
    """Whether a finished answer passes the guard."""
    return carried(first_statement(answer, ended=True) or "", passages)


def carried(statement: str, passages: Sequence[Passage]) -> bool:
    """Whether a passage supports the statement, or there is nothing to support: a refusal, or too few words."""
    if is_refusal(statement, None) or len(content_words(statement)) < LEAST_WORDS:
        return True
    return any(support(statement, passage_text(passage)) >= SUPPORT_THRESHOLD for passage in passages)
