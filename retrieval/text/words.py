"""Sentences, citation markers, and the words in both: what the prompt, the checks and the style figures count by."""

from __future__ import annotations

import re
from dataclasses import dataclass

from retrieval.text.scripts import grams, spaced

_PART = r"\d{1,2}(?:\s*[-\u2010-\u2015~\u301c\uff5e]\s*\d{1,2})?"
_NUMBERS = rf"\s*{_PART}(?:\s*(?:[,;&\u060c\u3001\uff0c\uff1b](?:\s*and\b)?|\band\b)\s*{_PART})*\s*"
_BRACKETS = rf"(?:\[{_NUMBERS}\]|\uff3b{_NUMBERS}\uff3d|\u3010{_NUMBERS}(?:\u2020[^\u3010\u3011\n]{{0,80}})?\u3011)"
_MARKER = rf"\s*{_BRACKETS}(?:\s*,(?=\s*{_BRACKETS}))?"
"""`[1]`, `[1, 2]`, `[1-3]`, the same in full-width brackets, `\u30101\u2020source\u3011` as OpenAI's models write it.
Not `[1.5]`, `[2019]` or `(1)`, which mean something else."""
_CODE = r"```.*?(?:```|\Z)|`[^`\n]+`"
_MARKER_OR_CODE = re.compile(rf"(?P<code>{_CODE})|(?<!\s){_MARKER}", re.DOTALL)
_PART_OF = re.compile(r"(\d{1,2})(?:\s*[^\d\s,;&\u060c\u3001\uff0c\uff1b]\s*(\d{1,2}))?")
_BRACKET = re.compile(r"[\[\uff3b\u3010]")
FULL_STOPS = "\u3002\uff01\uff1f\uff61\u0964\u0965\u06d4\u1362\u17d4\u104b"
"""Of Chinese and Japanese, Hindi, Urdu, Amharic, Khmer, Burmese. They end a sentence without a space behind."""
_SENTENCE_END = re.compile(
    rf"[\n.!?\u061f\uff0e{FULL_STOPS}]"
    r"(?:"
    rf"(?<=[.!?\u061f])(?:{_MARKER})*\s+(?=\S)"
    rf"|(?:(?<=[{FULL_STOPS}])|(?<=\uff0e)(?!\d))(?![{FULL_STOPS}])"
    rf"[\u300d\u300f\uff09\u201d\u2019\u3011\u300b]*(?:{_MARKER})*\s*(?=\S)"
    r"|(?<=\n)\n*"
    r")"
)
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


@dataclass(frozen=True)
class Marker:
    """A citation marker: its span in the text, and the numbers that it names, each once, in order."""

    start: int
    end: int
    numbers: tuple[int, ...]


def markers(text: str) -> list[Marker]:
    """The text's citation markers. What stands in code, `list[1]` in backticks, is none."""
    if not _BRACKET.search(text):
        return []
    return [
        Marker(match.start(), match.end(), _numbers(match.group()))
        for match in _MARKER_OR_CODE.finditer(text)
        if match["code"] is None
    ]


def _numbers(marker: str) -> tuple[int, ...]:
    found: list[int] = []
    for match in _PART_OF.finditer(marker.partition("\u2020")[0]):
        first, last = int(match[1]), int(match[2] or match[1])
        found += range(first, last + 1) if first <= last else (first, last)
    return tuple(dict.fromkeys(found))


def strip_markers(text: str) -> str:
    """The text without its citation markers."""
    if not _BRACKET.search(text):
        return text
    return _MARKER_OR_CODE.sub(lambda match: match["code"] or "", text)


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
    """Lower-case stems of the words that carry meaning. Numbers stay as they are.

    Of scripts that put no spaces between words the grams: a part of a clause has words in common with the whole.
    """
    words = (word.lower() for word in _WORD.findall(spaced(text)))
    return frozenset([*(stem(word) for word in words if word not in STOP_WORDS), *grams(text)])


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
