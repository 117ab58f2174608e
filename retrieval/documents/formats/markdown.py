"""Markdown and plain text, read line by line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from retrieval.documents.formats.assembler import Assembler

ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?[ \t]*#*[ \t]*$")
UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
FRONT_TITLE = re.compile(r"^title:[ \t]*(.+?)[ \t]*$", re.MULTILINE)
LONGEST_TITLE = 100


@dataclass(frozen=True)
class Heading:
    level: int
    text: str


def read_markdown(text: str, into: Assembler) -> str | None:
    """Read Markdown into `into`; returns the title, or None if the text has no heading and no front matter."""
    title = None
    front = FRONT_MATTER.match(text)
    if front:
        named = FRONT_TITLE.search(front[1])
        title = named[1].strip("\"'") if named else None
        text = text[front.end() :]
    for part in _parts(text.split("\n"), atx=True):
        _add(part, into)
    return title or into.first_heading


def read_plain_text(text: str, into: Assembler) -> str | None:
    """Read plain text: a first line with a blank line after it is the title, underlined lines are headings."""
    lines = text.strip().split("\n")
    alone = len(lines) > 2 and not lines[1].strip() and len(lines[0]) <= LONGEST_TITLE
    title = lines[0].strip() if alone and not lines[0].rstrip().endswith((".", ",", ";")) else None
    if title:
        into.heading(1, title)
        lines = lines[1:]
    for part in _parts(lines, atx=False):
        _add(part if isinstance(part, str) else Heading(part.level + 1, part.text), into)
    return title or into.first_heading


def _add(part: Heading | str, into: Assembler) -> None:
    if isinstance(part, Heading):
        into.heading(part.level, part.text)
    else:
        into.block(part)


def _parts(lines: list[str], *, atx: bool) -> Iterator[Heading | str]:
    """Headings and paragraphs in order. Nothing inside a code fence is a heading or ends a paragraph."""
    paragraph: list[str] = []
    fence = ""
    for line in lines:
        marker = FENCE.match(line)
        if fence or marker:
            paragraph.append(line)
            fence = _fence_after(fence, marker, line)
            continue
        heading = _heading(line, paragraph, atx)
        if heading is None and line.strip():
            paragraph.append(line)
            continue
        if heading is not None and not (atx and ATX.match(line)):
            paragraph.pop()
        if paragraph:
            yield "\n".join(paragraph)
            paragraph = []
        if heading is not None:
            yield heading
    if paragraph:
        yield "\n".join(paragraph)


def _fence_after(fence: str, marker: re.Match[str] | None, line: str) -> str:
    """The fence that is open after this line; empty if none is."""
    if not fence:
        return marker[1] if marker else ""
    closes = marker is not None and marker[1].startswith(fence) and line.strip() == marker[1]
    return "" if closes else fence


def _heading(line: str, paragraph: list[str], atx: bool) -> Heading | None:
    """The heading on this line, or the line before if this line underlines it."""
    found = ATX.match(line) if atx else None
    if found:
        return Heading(len(found[1]), found[2] or "")
    under = UNDERLINE.match(line)
    if under and len(paragraph) == 1 and not paragraph[0].lstrip().startswith(("|", "-", "*", ">")):
        return Heading(1 if under[1][0] == "=" else 2, paragraph[0])
    return None
