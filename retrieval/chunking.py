"""Documents to chunks.

A chunk never crosses a heading or a page. Small neighbouring blocks of one section are put together up to the chunk
size; a block that is larger is split at sentence ends by LlamaIndex's SentenceSplitter.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from llama_index.core.node_parser import SentenceSplitter

from retrieval.model import Block, Chunk, Document, FileRef

CountTokens = Callable[[str], int]
NAMESPACE = uuid.UUID("6f0d2c5e-7d0b-5c5a-9a3e-2f8f6f1b7a11")


@dataclass(frozen=True)
class ChunkingSettings:
    """Sizes in tokens, as counted by the function given to `chunk`.

    160 leaves room for title and headings within the 256 tokens of the default embedder, and lets four passages fit
    a small model's prompt. An overlap repeats whole sentences only. Raises ValueError for sizes that make no sense.
    """

    chunk_size: int = 160
    chunk_overlap: int = 0

    def __post_init__(self) -> None:
        if self.chunk_size < 16 or not 0 <= self.chunk_overlap < self.chunk_size:
            raise ValueError(
                f"chunk_size {self.chunk_size} must be at least 16, and chunk_overlap {self.chunk_overlap} "
                "at least 0 and below chunk_size"
            )


@dataclass(frozen=True)
class _Span:
    block: Block
    start: int
    end: int


def count_words(text: str) -> int:
    """The plainest measure of a text's size."""
    return len(text.split())


def chunk(
    document: Document, source: FileRef, settings: ChunkingSettings, count_tokens: CountTokens = count_words
) -> list[Chunk]:
    """Cut a document into chunks, in reading order.

    `document.text[c.start:c.end] == c.text` for every chunk c. Ids follow from store, file, revision and position
    alone, so that the same file gives the same ids again.
    """
    splitter = SentenceSplitter(
        chunk_size=settings.chunk_size,
        chunk_overlap=settings.chunk_overlap,
        tokenizer=lambda text: range(count_tokens(text)),
    )
    spans = list(_spans(document, settings.chunk_size, count_tokens, splitter))
    return [_chunk(document, source, position, span) for position, span in enumerate(spans)]


def embedding_text(chunk: Chunk) -> str:
    """What both vectors are made of: title, heading path and text, so that a chunk is found by its section's name."""
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


def _spans(document: Document, size: int, count_tokens: CountTokens, splitter: SentenceSplitter) -> Iterator[_Span]:
    """Neighbouring blocks together while they fit; a block that does not fit alone, split."""
    open_span: _Span | None = None
    for block in document.blocks:
        joined = _joined(document, open_span, block)
        if joined and count_tokens(document.text[joined.start : joined.end]) <= size:
            open_span = joined
            continue
        if open_span:
            yield from _split(document, open_span, size, count_tokens, splitter)
        open_span = _Span(block, block.start, block.end)
    if open_span:
        yield from _split(document, open_span, size, count_tokens, splitter)


def _joined(document: Document, span: _Span | None, block: Block) -> _Span | None:
    """The span with the block after it, where they share headings and page and no heading line is between them."""
    if span is None or (span.block.headings, span.block.page) != (block.headings, block.page):
        return None
    apart = document.text[span.end : block.start].strip()
    return None if apart else _Span(span.block, span.start, block.end)


def _split(
    document: Document, span: _Span, size: int, count_tokens: CountTokens, splitter: SentenceSplitter
) -> Iterator[_Span]:
    text = document.text[span.start : span.end]
    if count_tokens(text) <= size:
        yield span
        return
    start, end = 0, 0
    for piece in splitter.split_text(text):  # the splitter copies, so each piece stands in the text word for word
        searched = max(start, end + 1 - len(piece)) if splitter.chunk_overlap else end
        start = text.index(piece, searched)
        end = start + len(piece)
        yield _Span(span.block, span.start + start, span.start + end)
