"""Leaves out passages that repeat what a better passage says."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from retrieval.model import Passage
from retrieval.text.sentences import FULL_STOPS, NO_HEADER

BORDERS = f" {FULL_STOPS}"
LONGEST_HEADER = 80  # characters
HEADER_SHARE = 5  # a header is at most one part in so many of its passage


@dataclass(frozen=True)
class _Text:
    """A passage's text without what bears no meaning, and the same without its header, where it may have one."""

    whole: str
    headless: str | None


def collapse(passages: Iterable[Passage]) -> Iterator[Passage]:
    """The passages, best first, without those that repeat a better one; lazily, so that a caller may stop early.

    A passage repeats a better one if that one is the same or contains it, ignoring spaces, line breaks and case, or if
    it is that one with a page's header in front. One different word makes another text: "may" is not "must", and the
    word may be the number or the name that differed in an older version.
    """
    seen: list[_Text] = []
    for passage in passages:
        text = _text(passage.chunk.text)
        if not any(_repeats(text, other) for other in seen):
            yield passage
            seen.append(text)


def _text(text: str) -> _Text:
    first, _, rest = text.strip().partition("\n")
    may_be_header = len(first) <= min(LONGEST_HEADER, len(text) // HEADER_SHARE) and not first.rstrip().endswith(
        NO_HEADER
    )
    return _Text(_folded(text), _folded(rest) if may_be_header else None)


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).lower().split())


def _repeats(text: _Text, other: _Text) -> bool:
    return text.headless == other.whole or _contains(other.whole, text.whole)


def _contains(whole: str, part: str) -> bool:
    """Whether the whole has the part between spaces, or beside full stops that need no space."""
    at = whole.find(part)
    while at >= 0:
        end = at + len(part)
        begins = whole[max(0, at - 1) : at] in BORDERS  # nothing stands in it, too
        ends = whole[end : end + 1] in BORDERS or whole[end : end + 2] in (".", ". ") or part[-1:] in FULL_STOPS
        if begins and ends:
            return True
        at = whole.find(part, at + 1)
    return False
