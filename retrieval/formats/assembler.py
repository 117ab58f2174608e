"""Turns what a format's reader finds, in reading order, into a Document."""

from __future__ import annotations

from retrieval.model import Block, Document

SEPARATOR = "\n\n"


class Assembler:
    """Collects headings and blocks. Headings stand in the text, but outside the blocks: each block carries its path.

    A heading with nothing beneath it becomes a block of its own, so that no text is lost to the index.
    """

    def __init__(self) -> None:
        self.page: int | None = None
        self._parts: list[str] = []
        self._length = 0
        self._blocks: list[Block] = []
        self._path: list[tuple[int, str]] = []
        self._bare: Block | None = None
        self.first_heading: str | None = None

    def heading(self, level: int, text: str) -> None:
        """Open a section. `level` counts from 1, which is the outermost."""
        text = " ".join(text.split())
        if not text:
            return
        if self._bare is not None and level <= self._path[-1][0]:
            self._blocks.append(self._bare)
        self.first_heading = self.first_heading or text
        self._path = [entry for entry in self._path if entry[0] < level]
        self._bare = self._place(text)
        self._path.append((level, text))

    def block(self, text: str) -> None:
        """Add a run of text to the open section."""
        text = text.strip()
        if text:
            self._bare = None
            self._blocks.append(self._place(text))

    def document(self, filename: str, title: str, url: str | None) -> Document:
        if self._bare is not None:
            self._blocks.append(self._bare)
            self._bare = None
        return Document(filename, title, SEPARATOR.join(self._parts), tuple(self._blocks), url)

    def _place(self, text: str) -> Block:
        start = self._length + (len(SEPARATOR) if self._parts else 0)
        self._parts.append(text)
        self._length = start + len(text)
        return Block(start, self._length, tuple(name for _, name in self._path), self.page)
