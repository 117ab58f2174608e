"""VectorIndex on Qdrant Edge: Qdrant's engine in this process, a collection a folder.

Measured facts this adapter rests on: an open collection starts threads, so it asks for one search thread; the engine
refuses a second opener; `optimize` holds Python's lock for its whole time, so only a builder process calls it
(`retrieval.index.collection_builder`); a cut vector file still loads with the right count, so `verify` reads vectors.
The engine raises plain `Exception`, or panics; `_engine` gives both our name.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import qdrant_edge as qdrant

from retrieval.errors import IndexDamaged, IndexUnavailable, UnknownCollection
from retrieval.index import conditions
from retrieval.index.conditions import Compared, Condition, Group, Is
from retrieval.index.facts import RangeIndexes, attribute_payload
from retrieval.index.port import (
    BATCH,
    DENSE,
    KEYWORD_FIELDS,
    SEARCH_WIDTH,
    SPARSE,
    Candidates,
    CollectionRef,
    Scope,
    Scored,
    Scores,
    in_order,
)
from retrieval.index.records import parse_revision_key
from retrieval.index.stored import check_dimension, count_sound, payload, point, scored
from retrieval.model import Attributes, Point, SparseVector
from retrieval.stopwatch import Stopwatch

T = TypeVar("T")
CONFIG = "edge_config.json"
MOST_FILES = 10_000_000  # the engine's facets want a limit


class EdgeEngine:
    """Collections as folders `<root>/<workspace>/<store>/<collection>`."""

    embedded = True

    def __init__(self, root: Path, search_width: int = SEARCH_WIDTH) -> None:
        self._root = root
        self._search_width = search_width

    def folder(self, ref: CollectionRef) -> Path:
        """Raises UnknownCollection for an id that is not a plain folder name."""
        parts = (ref.workspace_id, ref.store_id, ref.collection_id)
        if any(not part or part in (".", "..") or "/" in part or "\0" in part for part in parts):
            raise UnknownCollection(f"{ref} does not name a collection")
        return self._root.joinpath(*parts)

    def create(self, ref: CollectionRef, dimension: int) -> EdgeIndex:
        return create_folder(self.folder(ref), dimension, str(ref), self._search_width)

    def open(self, ref: CollectionRef) -> EdgeIndex:
        if not self.exists(ref):
            raise UnknownCollection(f"there is no collection {ref}; index the store's files again")
        try:
            with _engine(f"collection {ref} could not be opened"):
                shard = qdrant.EdgeShard.load(str(self.folder(ref)))
            return EdgeIndex(shard, str(ref), _stored_dimension(self.folder(ref)), self._search_width)
        except IndexUnavailable as error:
            if _is_open_elsewhere(error):
                raise
            raise IndexDamaged(str(error)) from error
        except (OSError, ValueError, KeyError) as error:
            raise IndexDamaged(f"collection {ref} could not be opened: {error}") from error

    def exists(self, ref: CollectionRef) -> bool:
        return (self.folder(ref) / CONFIG).is_file()

    def collections(self, workspace_id: str, store_id: str) -> list[CollectionRef]:
        folder = self.folder(CollectionRef(workspace_id, store_id, "any")).parent
        found = folder.iterdir() if folder.is_dir() else ()
        names = sorted(path.name for path in found if path.is_dir() and not path.name.startswith("."))
        return [CollectionRef(workspace_id, store_id, name) for name in names]

    def drop(self, ref: CollectionRef) -> None:
        shutil.rmtree(self.folder(ref), ignore_errors=True)

    def close(self) -> None:
        """Does nothing: the engine holds nothing except the open collections."""


def create_folder(folder: Path, dimension: int, name: str, search_width: int = SEARCH_WIDTH) -> EdgeIndex:
    """Make a collection in a folder; error messages call it `name`."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _engine(f"collection {name} could not be made"):
        shard = qdrant.EdgeShard.create(str(folder), _config(dimension))
        for field in KEYWORD_FIELDS:
            shard.update(qdrant.UpdateOperation.create_field_index(field, qdrant.PayloadSchemaType.Keyword))
    return EdgeIndex(shard, name, dimension, search_width)


class EdgeIndex:
    """One open folder."""

    def __init__(self, shard: qdrant.EdgeShard, name: str, dimension: int, search_width: int) -> None:
        self._shard = shard
        self._name = name
        self._dimension = dimension
        self._params = qdrant.SearchParams(hnsw_ef=search_width)
        self._open = True
        self._ranges = RangeIndexes(self._create_range_index)

    def upsert(self, points: Sequence[Point]) -> None:
        check_dimension(self._name, self._dimension, points)
        self._ranges.cover(one.chunk.source.attributes for one in points)
        for start in range(0, len(points), BATCH):
            batch = [_engine_point(one) for one in points[start : start + BATCH]]
            self._update(qdrant.UpdateOperation.upsert_points(batch))

    def delete_file(self, file_id: str) -> None:
        self._delete(conditions.of_file(file_id))

    def delete_revision(self, file_id: str, revision: int) -> None:
        self._delete(conditions.of_revision(file_id, revision))

    def delete_other_revisions(self, file_id: str, keep_revision: int) -> None:
        self._delete(conditions.of_other_revisions(file_id, keep_revision))

    def set_attributes(self, file_id: str, attributes: Attributes) -> None:
        self._ranges.cover([attributes])
        of_file = _filter(conditions.of_file(file_id))
        self._update(qdrant.UpdateOperation.set_payload_by_filter(of_file, attribute_payload(attributes)))

    def search(self, dense: Sequence[float], sparse: SparseVector, limit: int, scope: Scope) -> Candidates:
        allowed = _filter(conditions.of_scope(scope))
        terms = qdrant.SparseVector(list(sparse.indices), list(sparse.values))
        watch = Stopwatch()
        with watch.stage(DENSE):
            near = self._stage(qdrant.Query.Nearest(list(dense), DENSE), limit, allowed)
        with watch.stage(SPARSE):
            worded = self._stage(qdrant.Query.Nearest(terms, SPARSE), limit, allowed) if sparse.indices else ()
        return Candidates(near, worded, watch.spent_ms)

    def scores(
        self, dense: Sequence[float], dense_ids: Sequence[str], sparse: SparseVector, sparse_ids: Sequence[str]
    ) -> Scores:
        terms = qdrant.SparseVector(list(sparse.indices), list(sparse.values))
        return Scores(
            self._scores(qdrant.Query.Nearest(list(dense), DENSE), dense_ids),
            self._scores(qdrant.Query.Nearest(terms, SPARSE), sparse_ids if sparse.indices else ()),
        )

    def points(self, ids: Sequence[str]) -> list[Point]:
        records = self._call("be read", lambda: self._shard.retrieve(list(ids), True, True))
        return in_order(ids, [point(record) for record in records])

    def count(self) -> int:
        return self._call("be counted", lambda: int(self._shard.count(qdrant.CountRequest(exact=True))))

    def count_file(self, file_id: str, revision: int | None = None) -> int:
        counted = conditions.of_revision(file_id, revision) if revision is not None else conditions.of_file(file_id)
        request = qdrant.CountRequest(exact=True, filter=_filter(counted))
        return self._call("be counted", lambda: int(self._shard.count(request)))

    def revisions(self) -> Mapping[tuple[str, int], int]:
        request = qdrant.FacetRequest("file_revision", limit=MOST_FILES, exact=True)
        hits = self._call("be counted", lambda: self._shard.facet(request).hits)
        # the engine keeps values that it has no points of any more, with a count of 0
        return {parse_revision_key(str(hit.value)): int(hit.count) for hit in hits if hit.count}

    def scroll(self, file_id: str | None = None, revision: int | None = None) -> Iterator[Point]:
        for record in self._records(conditions.of_points(file_id, revision)):
            yield point(record)

    def verify(self) -> int:
        try:
            return count_sound(self._name, self._records(None))
        except IndexUnavailable as error:
            raise IndexDamaged(str(error)) from error

    def optimize(self) -> None:
        """Build the graphs. It holds Python's lock all the time, so only a separate process may call this."""
        self._call("be optimized", self._shard.optimize)

    def flush(self) -> None:
        self._call("be flushed", self._shard.flush)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._call("be closed", self._shard.close)

    def _records(self, meant: Group | None) -> Iterator[Any]:
        offset, matching = None, _filter(meant) if meant else None
        while True:
            request = qdrant.ScrollRequest(
                offset=offset, limit=BATCH, filter=matching, with_payload=True, with_vector=True
            )
            records, offset = self._call("be read", partial(self._shard.scroll, request))
            yield from records
            if offset is None:
                return

    def _stage(self, query: qdrant.Query, limit: int, allowed: qdrant.Filter) -> tuple[Scored, ...]:
        request = qdrant.QueryRequest(limit=limit, query=query, filter=allowed, params=self._params, with_payload=True)
        found = self._call("be searched", partial(self._shard.query, request))
        return scored(found)

    def _create_range_index(self, field: str) -> None:
        self._update(qdrant.UpdateOperation.create_field_index(field, qdrant.PayloadSchemaType.Float))

    def _scores(self, query: qdrant.Query, ids: Sequence[str]) -> dict[str, float]:
        if not ids:
            return {}
        among = qdrant.Filter(must=[qdrant.HasIdCondition({uuid.UUID(one) for one in ids})])
        request = qdrant.QueryRequest(limit=len(ids), query=query, filter=among)
        found = self._call("be searched", partial(self._shard.query, request))
        return {str(hit.id): float(hit.score) for hit in found}

    def _delete(self, meant: Group) -> None:
        self._update(qdrant.UpdateOperation.delete_points_by_filter(_filter(meant)))

    def _update(self, operation: qdrant.UpdateOperation) -> None:
        self._call("be written", lambda: self._shard.update(operation))

    def _call(self, what: str, call: Callable[[], T]) -> T:
        with _engine(f"collection {self._name} could not {what}"):
            return call()


def _is_open_elsewhere(error: IndexUnavailable) -> bool:
    """The engine says this only in words: its log could not be locked."""
    return "WouldBlock" in str(error)


def _stored_dimension(folder: Path) -> int:
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    return int(config["vectors"][DENSE]["size"])


@contextmanager
def _engine(what: str) -> Iterator[None]:
    try:
        yield
    except BaseException as error:  # the engine raises plain Exception, and a panic in it is a BaseException
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise IndexUnavailable(f"{what}: {error}") from error
        raise


def _config(dimension: int) -> qdrant.EdgeConfig:
    return qdrant.EdgeConfig(
        vectors={DENSE: qdrant.EdgeVectorParams(dimension, qdrant.Distance.Cosine)},
        sparse_vectors={SPARSE: qdrant.EdgeSparseVectorParams(modifier=qdrant.Modifier.Idf)},
        max_search_threads=1,
    )


def _filter(meant: Group) -> qdrant.Filter:
    return qdrant.Filter(
        must=[_condition(one) for one in meant.must] or None,
        should=[_condition(one) for one in meant.should] or None,
        must_not=[_condition(one) for one in meant.must_not] or None,
    )


def _condition(meant: Condition) -> Any:
    if isinstance(meant, Group):
        return _filter(meant)
    if isinstance(meant, Compared):
        return qdrant.FieldCondition(meant.field, range=qdrant.RangeFloat(**{meant.operator: meant.number}))
    match = qdrant.MatchValue(meant.value) if isinstance(meant, Is) else qdrant.MatchAny(list(meant.values))
    return qdrant.FieldCondition(meant.field, match=match)


def _engine_point(one: Point) -> qdrant.Point:
    sparse = qdrant.SparseVector(list(one.sparse.indices), list(one.sparse.values))
    return qdrant.Point(one.chunk.id, {DENSE: list(one.dense), SPARSE: sparse}, payload(one.chunk))
