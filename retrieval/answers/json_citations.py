"""The citations of a JSON answer: each of its texts is attributed to the passages that support it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from retrieval.answers.grounding import cite
from retrieval.model import Citation, Passage

_STRING = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?', re.DOTALL)
_CHARACTER = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\.|.", re.DOTALL)


def cite_json(answer: str, passages: Sequence[Passage]) -> list[Citation]:
    """The citations of each text that is a value in the answer; spans refer to the answer as it is written.

    Numbers, and texts of fewer than three words that carry meaning, say too little to be attributed.
    """
    found: list[Citation] = []
    for text, offsets in _texts(answer):
        for citation in cite(text, passages):
            found.append(replace(citation, start=offsets[citation.start], end=offsets[citation.end]))
    return found


def _texts(answer: str) -> Iterator[tuple[str, list[int]]]:
    """Each text, and where in the answer each of its characters begins; the last offset is where the text ends."""
    for written in _STRING.finditer(answer):
        name = written.group(2) is not None
        if name:
            continue
        begin, end = written.start() + 1, written.end() - 1
        text = json.loads(written.group(), strict=False)
        offsets = [begin + character.start() for character in _CHARACTER.finditer(answer[begin:end])]
        yield text, [*offsets, end]
