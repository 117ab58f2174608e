"""Sentences and the words in them: what the prompt, the checks and the style figures count by."""

from __future__ import annotations

import re

MARKER = re.compile(r"\s*\[(\d{1,2})\]")
_SENTENCE_END = re.compile(r"(?<=[.!?])(?:\s*\[\d{1,2}\])*\s+(?=\S)|\n+")
_WORD = re.compile(r"[^\W_]+(?:[.,:'-][^\W_]+)*")
STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a about after all also an and any are as at be because been before but by can could do does for from had has "
        "have he her his how i if in into is it its may might more most must no not of on one only or other our out "
        "over per shall she should so some such than that the their them then there these they this to under until up "
        "was we were what when where which while who whom whose why will with would you your",
    )
)


def strip_markers(text: str) -> str:
    """The text without its citation markers."""
    return MARKER.sub("", text)


def sentences(text: str) -> list[tuple[int, int]]:
    """Spans of the text's sentences and list items. A marker behind the full stop belongs to the sentence before it."""
    spans, position = [], 0
    for match in _SENTENCE_END.finditer(text):
        end = match.start() + len(match.group().rstrip())
        spans.append((position, end))
        position = match.end()
    spans.append((position, len(text)))
    return [(start, end) for start, end in spans if _WORD.search(text[start:end])]


def content_words(text: str) -> frozenset[str]:
    """Lower-case stems of the words that carry meaning. Numbers stay as they are."""
    words = (word.lower() for word in _WORD.findall(text))
    return frozenset(stem(word) for word in words if word not in STOP_WORDS)


def share_of_words(text: str, other: str) -> float:
    """The share of the text's content words that the other text has, in 0..1; 0 for a text without any."""
    words = content_words(text)
    return len(words & content_words(other)) / len(words) if words else 0.0


def stem(word: str) -> str:
    """A lower-case word without its usual endings; a word with a digit stays as it is."""
    if any(letter.isdigit() for letter in word):
        return word
    for ending in ("ies", "ing", "es", "ed", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word
