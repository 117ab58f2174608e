"""Cuts documents into chunks.

By default a chunk follows the document's structure: it never crosses a heading or a page. Small neighbouring blocks of
one section are joined up to the chunk size. A larger block is split by `retrieval.documents.splitting`, which keeps
sentences, table rows and code fences whole.
"""

from __future__ import annotations

import uuid
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from retrieval.documents.splitting import CountTokens, Splitter, windows
from retrieval.model import Block, Chunk, Document, FileRef

Strategy = Literal["structure", "sentences", "fixed", "document"]
CHARACTERS_A_TOKEN = 8
"""No token of a text stands for more characters than this, not counting spaces. An embedder that does not know a word,
and treats one of over 100 characters as unknown, counts it as one token: 3,800 characters of Thai. English has at most
6.6 a token.
"""
SHORT = 24  # characters; a text up to here may be one long word
COUNTS_KEPT = 256  # blocks and sentences that are counted again within moments: a third of all characters counted
NAMESPACE = uuid.UUID("6f0d2c5e-7d0b-5c5a-9a3e-2f8f6f1b7a11")


@dataclass(frozen=True)
class ChunkingSettings:
    """Sizes in tokens, as counted by the function given to `chunk`.

    `structure` does not cross sections and pages. `sentences` fills a chunk with whole paragraphs and sentences across
    sections, within a page. `fixed` cuts every `chunk_size` tokens between words. `document` keeps a document that fits
    `chunk_size` in one chunk, and treats a longer one as `structure` does.

    160 leaves room for title and headings within the 256 tokens of the default embedder, and lets four passages fit a
    small model's prompt. An overlap repeats whole sentences only. Raises ValueError for invalid sizes.
    """

    chunk_size: int = 160
    chunk_overlap: int = 0
    strategy: Strategy = "structure"

    def __post_init__(self) -> None:
        if self.chunk_size < 16 or not 0 <= self.chunk_overlap < self.chunk_size:
            raise ValueError(
                f"chunk_size {self.chunk_size} must be at least 16, and chunk_overlap {self.chunk_overlap} "
                "at least 0 and below chunk_size"
            )


@dataclass(frozen=True)
class _Span:
    """`block` gives headings and page; if a table continues here, its header row is the last of the headings."""

    block: Block
    start: int
    end: int


def count_words(text: str) -> int:
    """The simplest measure of a text's size."""
    return len(text.split())


def at_least(count_tokens: CountTokens) -> CountTokens:
    """The number of tokens, or its lower limit if words that the embedder does not know hide the length."""

    def counted(text: str) -> int:
        characters = len("".join(text.split()))
        return max(count_tokens(text), characters // CHARACTERS_A_TOKEN if characters >= SHORT else 0)

    return counted


def chunk(
    document: Document, source: FileRef, settings: ChunkingSettings, count_tokens: CountTokens = count_words
) -> list[Chunk]:
    """Cut a document into chunks, in reading order.

    `document.text[c.start:c.end] == c.text` for every chunk c. Ids depend only on store, file, revision and position,
    so that the same file gives the same ids again.
    """
    counted = lru_cache(COUNTS_KEPT)(at_least(count_tokens))
    cut = {"structure": _by_structure, "sentences": _by_sentences, "fixed": _fixed, "document": _whole}
    spans = cut[settings.strategy](document, settings, counted)
    return [_chunk(document, source, position, span) for position, span in enumerate(spans)]


def embedding_text(chunk: Chunk) -> str:
    """The text of both vectors: title, heading path and text, so that a chunk can be found by its section's name."""
    path = [name for name in chunk.headings if name != chunk.title]
    return "\n".join(part for part in (chunk.title, " > ".join(path), chunk.text) if part)


def chunk_id(source: FileRef, position: int) -> str:
    """The UUID of a file's chunk at a position."""
    return str(uuid.uuid5(NAMESPACE, f"{source.store_id}/{source.file_id}/{source.revision}/{position}"))


def _chunk(document: Document, source: FileRef, position: int, span: _Span) -> Chunk:
    return Chunk(
        id=chunk_id(source, position),
        source=source,
        position=position,
        text=document.text[span.start : span.end],
        filename=document.filename,
        title=document.title,
        headings=span.block.headings,
        page=span.block.page,
        start=span.start,
        end=span.end,
        url=document.url,
    )


def _by_structure(document: Document, settings: ChunkingSettings, count_tokens: CountTokens) -> Iterator[_Span]:
    """Neighbouring blocks of a section together while they fit; a block that does not fit alone is split."""
    splitter = Splitter(settings.chunk_size, settings.chunk_overlap, count_tokens)
    return _filled(document, splitter, within_section=True)


def _by_sentences(document: Document, settings: ChunkingSettings, count_tokens: CountTokens) -> Iterator[_Span]:
    splitter = Splitter(settings.chunk_size, settings.chunk_overlap, count_tokens)
    return _filled(document, splitter, within_section=False)


def _fixed(document: Document, settings: ChunkingSettings, count_tokens: CountTokens) -> Iterator[_Span]:
    starts = [block.start for block in document.blocks]
    for piece in windows(document.text, settings.chunk_size, settings.chunk_overlap, count_tokens):
        yield _Span(document.blocks[max(0, bisect_right(starts, piece.start) - 1)], piece.start, piece.end)


def _whole(document: Document, settings: ChunkingSettings, count_tokens: CountTokens) -> Iterator[_Span]:
    if not document.blocks or count_tokens(document.text) > settings.chunk_size:
        yield from _by_structure(document, settings, count_tokens)
        return
    first, last = document.blocks[0], document.blocks[-1]
    yield _Span(replace(first, headings=first.headings[:1]), first.start, last.end)


def _filled(document: Document, splitter: Splitter, *, within_section: bool) -> Iterator[_Span]:
    open_span: _Span | None = None
    for block in document.blocks:
        joined = _joined(document, open_span, block, within_section)
        if joined and splitter.fits(document.text[joined.start : joined.end]):
            open_span = joined
            continue
        if open_span:
            yield from _split(document, open_span, splitter)
        open_span = _Span(block, block.start, block.end)
    if open_span:
        yield from _split(document, open_span, splitter)


def _joined(document: Document, span: _Span | None, block: Block, within_section: bool) -> _Span | None:
    """The span together with the next block, if they share a page and, where required, a section."""
    if span is None or span.block.page != block.page:
        return None
    joined = _Span(span.block, span.start, block.end)
    if not within_section:
        return joined
    apart = document.text[span.end : block.start].strip()  # the heading of another section of the same name
    return None if apart or span.block.headings != block.headings else joined


def _split(document: Document, span: _Span, splitter: Splitter) -> Iterator[_Span]:
    for piece in splitter.split(document.text[span.start : span.end]):
        headings = (*span.block.headings, piece.header) if piece.header else span.block.headings
        yield _Span(replace(span.block, headings=headings), span.start + piece.start, span.start + piece.end)
