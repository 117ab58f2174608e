"""Turns a file into points: load, chunk, embed."""

from __future__ import annotations

from collections.abc import Callable

from retrieval.documents.chunking import ChunkingSettings, chunk, embedding_text
from retrieval.documents.loading import load
from retrieval.embedding.embedder import Bm25Encoder, Embedder
from retrieval.model import Document, FileRef, Point

Progress = Callable[[int, int], None]
EMBED_AT_ONCE = 128  # texts of like length go together: among more of them less is padding


def _unheard(_done: int, _total: int) -> None:
    return None


def prepare(
    data: bytes,
    filename: str,
    source: FileRef,
    embedder: Embedder,
    bm25: Bm25Encoder,
    settings: ChunkingSettings | None = None,
    progress: Progress = _unheard,
    url: str | None = None,
) -> list[Point]:
    """Make a file's points, in reading order, in this process. The same arguments give the same points.

    Raises UnsupportedFormat and UnreadableFile as `retrieval.documents.loading.load` does. For a file from an unknown
    source, better use `retrieval.documents.parser` and then `prepare_document`.
    """
    return prepare_document(load(data, filename, url), source, embedder, bm25, settings, progress)


def prepare_document(
    document: Document,
    source: FileRef,
    embedder: Embedder,
    bm25: Bm25Encoder,
    settings: ChunkingSettings | None = None,
    progress: Progress = _unheard,
) -> list[Point]:
    """Make a document's points, in reading order.

    Chunk sizes count the embedder's tokens. `progress` is called with chunks embedded and chunks in all, after each
    batch; what it raises stops the work.
    """
    chunks = chunk(document, source, settings or ChunkingSettings(), embedder.count_tokens)
    texts = [embedding_text(one) for one in chunks]
    points: list[Point] = []
    for start in range(0, len(chunks), EMBED_AT_ONCE):
        batch = slice(start, start + EMBED_AT_ONCE)
        vectors = embedder.embed(texts[batch])
        sparse = [bm25.document(text) for text in texts[batch]]
        points += map(Point, chunks[batch], vectors, sparse)
        progress(len(points), len(chunks))
    return points
