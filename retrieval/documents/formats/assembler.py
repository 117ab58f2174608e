"""Turns what a format's reader finds, in reading order, into a Document."""

from __future__ import annotations

import re

from retrieval.documents.formats.limits import Limits
from retrieval.errors import UnreadableFile
from retrieval.model import Block, Document

SEPARATOR = "\n\n"
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # no database keeps a NUL, and no encoding half of a surrogate pair


LONGEST_HEADING = 1000  # characters; every block of a section carries its heading


def storable(text: str) -> str:
    """The text with marks in place of what cannot be stored."""
    return UNSTORABLE.sub("\ufffd", text)


class Assembler:
    """Collects headings and blocks. Headings are in the text, but outside the blocks: each block has its heading path.

    A heading with nothing below it becomes a block of its own, so that the index loses no text. `depth` is added to the
    level of each heading, for a document within another one.
    """

    def __init__(self, filename: str, limits: Limits) -> None:
        self.page: int | None = None
        self.depth = 0
        self.filename = filename
        self.limits = limits
        self._parts: list[str] = []
        self._length = 0
        self._blocks: list[Block] = []
        self._path: list[tuple[int, str]] = []
        self._bare: Block | None = None
        self.first_heading: str | None = None

    def heading(self, level: int, text: str) -> None:
        """Open a section. `level` counts from 1, which is the outermost."""
        text = " ".join(text.split())
        if not text or (self.depth and self._path and self._path[-1] == (self.depth, text)):
            return  # a document within another one often begins by repeating its title
        if len(text) > LONGEST_HEADING:
            self.block(text)
            return
        level += self.depth
        self._close(level)
        self.first_heading = self.first_heading or text
        self._bare = self._place(text)
        self._path.append((level, text))

    def close(self, level: int) -> None:
        """End the sections of this level and those in them: what follows is beside them."""
        self._close(level + self.depth)

    def block(self, text: str) -> None:
        """Add a run of text to the open section."""
        text = text.strip()
        if text:
            self._bare = None
            self._blocks.append(self._place(text))

    def document(self, title: str, url: str | None) -> Document:
        if self._bare is not None:
            self._blocks.append(self._bare)
            self._bare = None
        return Document(self.filename, title, SEPARATOR.join(self._parts), tuple(self._blocks), url)

    def _close(self, level: int) -> None:
        if self._bare is not None and level <= self._path[-1][0]:
            self._blocks.append(self._bare)
            self._bare = None
        self._path = [entry for entry in self._path if entry[0] < level]

    def _place(self, text: str) -> Block:
        text = storable(text)
        start = self._length + (len(SEPARATOR) if self._parts else 0)
        self._parts.append(text)
        self._length = start + len(text)
        if self._length > self.limits.max_characters:
            raise UnreadableFile(
                f"{self.filename} has more than {self.limits.max_characters:,} characters of text. Split it into "
                "smaller files, or raise the setting max_characters."
            )
        return Block(start, self._length, tuple(name for _, name in self._path), self.page)
