"""The values that pass through retrieval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Attributes = Mapping[str, str | float | bool]


@dataclass(frozen=True)
class Block:
    """A run of a document's text under one heading path, on one page.

    `start` and `end` are character offsets into `Document.text`; `page` counts from 1 and is None where the format has
    no pages.
    """

    start: int
    end: int
    headings: tuple[str, ...] = ()
    page: int | None = None


@dataclass(frozen=True)
class Document:
    """A file's text. `blocks` cover the text in order and do not overlap."""

    filename: str
    title: str
    text: str
    blocks: tuple[Block, ...]
    url: str | None = None


@dataclass(frozen=True)
class FileRef:
    """Whose file a document is, and which revision of it.

    `revision` grows with each change of a file in a store; the index refuses a revision that the database no longer
    wants.
    """

    workspace_id: str
    store_id: str
    file_id: str
    revision: int
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True)
class Chunk:
    """A piece of a document, indexed. `id` is a UUID made from the file, its revision and the position."""

    id: str
    source: FileRef
    position: int
    text: str
    filename: str
    title: str
    headings: tuple[str, ...]
    page: int | None
    start: int
    end: int
    url: str | None = None


@dataclass(frozen=True)
class SparseVector:
    """A BM25 vector: token ids and weights, equally long."""

    indices: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Point:
    """A chunk with both of its vectors, ready for the index."""

    chunk: Chunk
    dense: tuple[float, ...]
    sparse: SparseVector


@dataclass(frozen=True)
class Passage:
    """A chunk retrieved for a question. Ranks count from 1 and are None if a stage did not find the chunk.

    `dense_score` is the cosine between question and chunk, `sparse_score` the BM25 score; `score` is the fused one.
    `rerank_score` is a cross-encoder's, if one has read the passage; then the passages are in its order.
    """

    chunk: Chunk
    score: float
    dense_rank: int | None = None
    dense_score: float | None = None
    sparse_rank: int | None = None
    sparse_score: float | None = None
    rerank_score: float | None = None


@dataclass(frozen=True)
class Message:
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Citation:
    """A span of an answer and the passage that supports it.

    `index` is the passage's number in the prompt, from 1. `start` and `end` are character offsets into the answer.
    `support` is the checker's score in 0..1 and `supported` its verdict. `origin` is `model` if the model wrote the
    marker, `server` if the server attributed a sentence that had none.
    """

    index: int
    passage: Passage
    start: int
    end: int
    quote: str
    support: float
    supported: bool
    origin: Literal["model", "server"]
