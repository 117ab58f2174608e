"""The guard that checks an answer's first sentence before anybody reads it.

A small model that is asked about something that no passage answers makes up an answer. Such an answer is seldom
supported. So its first statement is held back until it is checked; if no passage supports it, the server says that the
documents do not answer. The guard does not notice a near miss, where a passage supports a statement that does not
answer the question. It wrongly refuses an answer in another language than the documents', or in entirely other words.
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
"""A sentence with fewer content words ("Yes.", "It does.") says nothing that can be checked."""
MOST_HELD = 1200
"""After this many characters, the text so far is judged even if no sentence has ended."""


def first_statement(answer: str, ended: bool) -> str | None:
    """The first sentence that says something, without markers; None while it is not complete.

    If the answer has `ended` without such a sentence, or continues without an end: the whole answer.
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
    """Whether a passage supports the statement, or nothing needs support: a refusal, or too few words."""
    if is_refusal(statement, None) or len(content_words(statement)) < LEAST_WORDS:
        return True
    return any(support(statement, passage_text(passage)) >= SUPPORT_THRESHOLD for passage in passages)
