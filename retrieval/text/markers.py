"""Citation markers, as the prompt asks for them and as models write them."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PART = r"\d{1,2}(?:\s*[-\u2010-\u2015~\u301c\uff5e]\s*\d{1,2})?"
_NUMBERS = rf"\s*{_PART}(?:\s*(?:[,;&\u060c\u3001\uff0c\uff1b](?:\s*and\b)?|\band\b)\s*{_PART})*\s*"
_BRACKETS = rf"(?:\[{_NUMBERS}\]|\uff3b{_NUMBERS}\uff3d|\u3010{_NUMBERS}(?:\u2020[^\u3010\u3011\n]{{0,80}})?\u3011)"
MARKER = rf"\s*{_BRACKETS}(?:\s*,(?=\s*{_BRACKETS}))?"
"""`[1]`, `[1, 2]`, `[1-3]`, the same in full-width brackets, `\u30101\u2020source\u3011` as OpenAI's models write it.
Not `[1.5]`, `[2019]` or `(1)`, which mean something else."""
_CODE = r"```.*?(?:```|\Z)|`[^`\n]+`"
_MARKER_OR_CODE = re.compile(rf"(?P<code>{_CODE})|(?<!\s){MARKER}", re.DOTALL)
_PART_OF = re.compile(r"(\d{1,2})(?:\s*[^\d\s,;&\u060c\u3001\uff0c\uff1b]\s*(\d{1,2}))?")
_BRACKET = re.compile(r"[\[\uff3b\u3010]")
MARKER_OPENED = re.compile(r"[\[\u3010][\d\s,;-]*$")
"""The beginning of one, before a further number of it: for the watch on loops, which has not read its end yet."""
NUMBERED_PASSAGE = re.compile(r"\b(passages?) \d{1,2}(?:(?:, | and |, and )\d{1,2})*\b", re.IGNORECASE)
"""As an answer may name what the prompt has numbered; the number is no figure of the passage's."""


@dataclass(frozen=True)
class Marker:
    """A citation marker: its span in the text, and the numbers that it names, each once, in order."""

    start: int
    end: int
    numbers: tuple[int, ...]


def markers(text: str) -> list[Marker]:
    """The text's citation markers. Text in code, such as `list[1]` in backticks, does not count."""
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
