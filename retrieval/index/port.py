"""The port to a vector engine: what Tandem needs of one, and no more.

An `IndexEngine` has collections; a `VectorIndex` is one open collection. Two adapters exist, Qdrant Edge
(`retrieval.index.edge`) and qdrant-client (`retrieval.index.remote`); tests/contract/test_vector_index.py runs on each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from retrieval.filters import Filter
from retrieval.model import Attributes, Chunk, Point, SparseVector

DENSE, SPARSE = "dense", "sparse"
KEYWORD_FIELDS = ("workspace_id", "file_id", "file_revision", "facts")
BATCH = 256  # points a call; Edge slows down beyond it
SEARCH_WIDTH = 100
"""Points that a search of the dense graph considers (HNSW's ef): the engine's own value. More finds more, but is
slower.
"""


@dataclass(frozen=True)
class CollectionRef:
    """Names a collection: one build of a store's index."""

    workspace_id: str
    store_id: str
    collection_id: str

    def __str__(self) -> str:
        return f"{self.workspace_id}/{self.store_id}/{self.collection_id}"


@dataclass(frozen=True)
class Scope:
    """Which chunks a search may return. `file_ids` None is every file of the workspace; `attributes` filters those."""

    workspace_id: str
    file_ids: frozenset[str] | None = None
    attributes: Filter | None = None


@dataclass(frozen=True)
class Scored:
    chunk: Chunk
    score: float


@dataclass(frozen=True)
class Candidates:
    """What each stage found, best first: cosines of the dense stage, BM25 scores of the sparse one.

    `timings_ms` has the milliseconds of each stage if the engine reports them separately.
    """

    dense: tuple[Scored, ...] = ()
    sparse: tuple[Scored, ...] = ()
    timings_ms: Mapping[str, float] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Scores:
    """Scores of given chunks by id: cosines, and BM25 scores of those that have a term of the question."""

    dense: Mapping[str, float] = field(default_factory=dict)
    sparse: Mapping[str, float] = field(default_factory=dict)


def in_order(ids: Sequence[str], points: Iterable[Point]) -> list[Point]:
    """The points in the order of their ids; engines answer in their own."""
    by_id = {point.chunk.id: point for point in points}
    return [by_id[one] for one in ids if one in by_id]


class VectorIndex(Protocol):
    """One open collection. Methods may be called from several threads.

    Every method raises IndexUnavailable if the engine fails, EmbedderMismatch if a vector has the wrong length.
    """

    def upsert(self, points: Sequence[Point]) -> None:
        """Add points, or replace those of the same id. They are found as soon as this returns."""
        ...

    def delete_file(self, file_id: str) -> None:
        """Remove every revision of a file."""
        ...

    def delete_revision(self, file_id: str, revision: int) -> None:
        """Remove one revision of a file."""
        ...

    def delete_other_revisions(self, file_id: str, keep_revision: int) -> None:
        """Remove every revision of a file but one."""
        ...

    def set_attributes(self, file_id: str, attributes: Attributes) -> None:
        """Replace the attributes of every chunk of a file by these. Vectors stay unchanged."""
        ...

    def search(self, dense: Sequence[float], sparse: SparseVector, limit: int, scope: Scope) -> Candidates:
        """The best chunks of each stage, `limit` each at most. An empty sparse vector finds nothing."""
        ...

    def scores(
        self, dense: Sequence[float], dense_ids: Sequence[str], sparse: SparseVector, sparse_ids: Sequence[str]
    ) -> Scores:
        """The scores that each stage gives to the chunks with these ids."""
        ...

    def points(self, ids: Sequence[str]) -> list[Point]:
        """The points with these ids and their vectors, in this order; unknown ids are left out."""
        ...

    def count(self) -> int: ...

    def count_file(self, file_id: str, revision: int | None = None) -> int:
        """Points of a file, or of one revision of it."""
        ...

    def revisions(self) -> Mapping[tuple[str, int], int]:
        """How many points each (file, revision) has."""
        ...

    def scroll(self, file_id: str | None = None, revision: int | None = None) -> Iterator[Point]:
        """Every point, or those of one revision of a file, with their vectors; in no guaranteed order."""
        ...

    def verify(self) -> int:
        """Read every point with its vectors, and return how many are sound.

        Raises IndexDamaged at a point without a sound vector: a damaged collection can load and have the right count.
        """
        ...

    def flush(self) -> None:
        """Return when everything written so far would survive a power cut."""
        ...

    def close(self) -> None:
        """Release the collection. A second call does no harm."""
        ...


class IndexEngine(Protocol):
    """Makes, opens and removes collections. Dense vectors have `dimension` numbers.

    `embedded` says that a collection is a folder of this machine, so that a builder process can make one there.
    """

    embedded: bool

    def create(self, ref: CollectionRef, dimension: int) -> VectorIndex: ...

    def open(self, ref: CollectionRef) -> VectorIndex:
        """Raises UnknownCollection if there is none, IndexDamaged if its data cannot be read, IndexUnavailable if it is
        open elsewhere.
        """
        ...

    def exists(self, ref: CollectionRef) -> bool: ...

    def collections(self, workspace_id: str, store_id: str) -> list[CollectionRef]:
        """The collections of a store that have data, whatever the database says."""
        ...

    def drop(self, ref: CollectionRef) -> None:
        """Remove a closed collection and its data. Harmless if there is none."""
        ...

    def close(self) -> None: ...
