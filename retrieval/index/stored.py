"""A point as both engines store it: an id, a payload, and the two vectors by name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from retrieval.errors import EmbedderMismatch, IndexDamaged
from retrieval.index.facts import attribute_payload
from retrieval.index.port import DENSE, SPARSE, Scored
from retrieval.index.records import chunk_from_record, chunk_record
from retrieval.model import Chunk, Point, SparseVector


class Hit(Protocol):
    """A point that a search found, in either engine's class."""

    @property
    def id(self) -> Any: ...

    @property
    def payload(self) -> Mapping[str, Any] | None: ...

    @property
    def score(self) -> float: ...


def payload(chunk: Chunk) -> dict[str, Any]:
    """What stands beside the vectors of a chunk."""
    return {**chunk_record(chunk), **attribute_payload(chunk.source.attributes)}


def point(record: Any) -> Point:
    """The point of a record that was read with payload and vectors; either engine's class has the same names."""
    sparse = record.vector[SPARSE]
    return Point(
        chunk_from_record(str(record.id), record.payload),
        tuple(record.vector[DENSE]),
        SparseVector(tuple(sparse.indices), tuple(sparse.values)),
    )


def scored(hits: Iterable[Hit]) -> tuple[Scored, ...]:
    """The chunks of a search's hits, in its order."""
    return tuple(Scored(chunk_from_record(str(hit.id), hit.payload or {}), float(hit.score)) for hit in hits)


def check_dimension(collection: str, dimension: int, points: Sequence[Point]) -> None:
    """Raises EmbedderMismatch where a point's dense vector has another length."""
    others = {len(one.dense) for one in points} - {dimension}
    if others:
        raise EmbedderMismatch(
            f"collection {collection} holds vectors of {dimension} numbers, but {sorted(others)} came; "
            "reindex the store with the embedder that is set"
        )


def count_sound(collection: str, records: Iterable[Any]) -> int:
    """How many records there are. Raises IndexDamaged at the first whose dense vector is not sound."""
    sound = 0
    for record in records:
        dense = (record.vector or {}).get(DENSE)
        length = math.sqrt(math.fsum(number * number for number in dense)) if dense else 0.0
        if not 0.98 < length < 1.02:  # stored cosine vectors have length one; a hole in the file reads as zeros
            raise IndexDamaged(f"collection {collection} is damaged: point {record.id} has no sound vector")
        sound += 1
    return sound
