"""Passages that say again what a better one says are left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from retrieval.follow_up import FUNCTION_WORDS
from retrieval.model import Passage

WORD = re.compile(r"[^\W_]+(?:[.,:]\d+)*")
RUN = 4
SHARED_RUNS = 0.8
NEGATIONS = frozenset(["no", "not", "nor", "never", "none", "without", "cannot"])
IGNORED = FUNCTION_WORDS - frozenset(["until", "before", "after", "over"])


@dataclass(frozen=True)
class _Words:
    text: str
    content: frozenset[str]
    negations: int
    runs: frozenset[tuple[str, ...]]


def collapse(passages: Iterable[Passage]) -> Iterator[Passage]:
    """The passages, best first, without those that repeat a better one; lazily, so that a caller may stop early.

    A passage repeats a better one whose text contains it, case and punctuation aside; or that has all of its content
    words, numbers among them, as many negations, and four fifths of its runs of four words: the same text with a line
    moved, a stop word changed, or cut at another place. Texts that differ in a content word are both kept: it may be
    the number or the name that an older version had otherwise.
    """
    seen: list[_Words] = []
    for passage in passages:
        words = _words(passage.chunk.text)
        if not any(_repeats(words, other) for other in seen):
            yield passage
            seen.append(words)


def _words(text: str) -> _Words:
    words = WORD.findall(text.casefold())
    runs = frozenset(tuple(words[start : start + RUN]) for start in range(len(words) - RUN + 1))
    negations = sum(word in NEGATIONS for word in words)
    return _Words(f" {' '.join(words)} ", frozenset(words) - IGNORED, negations, runs)


def _repeats(words: _Words, other: _Words) -> bool:
    if words.text in other.text:
        return True
    if not words.runs or words.negations != other.negations or not words.content <= other.content:
        return False
    return len(words.runs & other.runs) >= SHARED_RUNS * len(words.runs)
