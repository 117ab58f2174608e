"""Which words of one text are in another."""

from __future__ import annotations

from collections.abc import Sequence

from retrieval.text.markers import strip_markers
from retrieval.text.words import whole


def stands_in(text: str, words: str) -> bool:
    """Whether the text has the words next to each other and whole; capitals and line breaks do not matter."""
    one_line, wanted = (" ".join(one.lower().split()) for one in (text, words))
    return whole(wanted).search(one_line) is not None


def facts_in(answer: str, facts: Sequence[Sequence[str]]) -> int:
    """How many of the facts the answer has, each in one of its spellings."""
    text = strip_markers(answer)
    return sum(any(stands_in(text, spelling) for spelling in fact) for fact in facts)
