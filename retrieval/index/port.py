"""The seam to a vector engine: what Tandem asks of one, and no more.

An `IndexEngine` has collections; a `VectorIndex` is one open collection. Two adapters exist, Qdrant Edge
(`retrieval.index.edge`) and qdrant-client (`retrieval.index.remote`); tests/contract/test_vector_index.py runs on each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from retrieval.model import Chunk, Point, SparseVector

DENSE, SPARSE = "dense", "sparse"
KEYWORD_FIELDS = ("workspace_id", "file_id", "file_revision")
BATCH = 256  # points a call; Edge slows down beyond it


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
    """Which chunks a search may return. `file_ids` None is every file of the workspace."""

    workspace_id: str
    file_ids: frozenset[str] | None = None


@dataclass(frozen=True)
class Scored:
    chunk: Chunk
    score: float


@dataclass(frozen=True)
class Candidates:
    """What each stage found, best first: cosines of the dense stage, BM25 scores of the sparse one."""

    dense: tuple[Scored, ...] = ()
    sparse: tuple[Scored, ...] = ()


class VectorIndex(Protocol):
    """One open collection. Methods may be called from several threads.

    Every method raises IndexUnavailable where the engine fails, EmbedderMismatch where a vector has the wrong length.
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

    def search(self, dense: Sequence[float], sparse: SparseVector, limit: int, scope: Scope) -> Candidates:
        """The best chunks of each stage, `limit` each at most. An empty sparse vector finds nothing."""
        ...

    def count(self) -> int: ...

    def count_file(self, file_id: str, revision: int | None = None) -> int:
        """Points of a file, or of one revision of it."""
        ...

    def revisions(self) -> Mapping[tuple[str, int], int]:
        """How many points each (file, revision) has."""
        ...

    def scroll(self, file_id: str | None = None, revision: int | None = None) -> Iterator[Point]:
        """Every point, or those of one revision of a file, with their vectors; in no promised order."""
        ...

    def verify(self) -> int:
        """Read every point with its vectors, and return how many are sound.

        Raises IndexDamaged at a point without a sound vector: a damaged collection can load, and count right.
        """
        ...

    def flush(self) -> None:
        """Return when everything written so far would survive a power cut."""
        ...

    def close(self) -> None:
        """Let the collection go. Harmless a second time."""
        ...


class IndexEngine(Protocol):
    """Makes, opens and removes collections. Dense vectors have `dimension` numbers.

    `embedded` says that a collection is a folder of this machine, so that a builder process can make one there.
    """

    embedded: bool

    def create(self, ref: CollectionRef, dimension: int) -> VectorIndex: ...

    def open(self, ref: CollectionRef) -> VectorIndex:
        """Raises UnknownCollection where there is none, IndexDamaged where its data cannot be read, IndexUnavailable
        where it is open elsewhere."""
        ...

    def exists(self, ref: CollectionRef) -> bool: ...

    def collections(self, workspace_id: str, store_id: str) -> list[CollectionRef]:
        """The collections of a store that have data, whatever the database says."""
        ...

    def drop(self, ref: CollectionRef) -> None:
        """Remove a closed collection and its data. Harmless where there is none."""
        ...

    def close(self) -> None: ...
