"""VectorIndex on qdrant-client: a Qdrant server or cluster by URL, or the client's own local mode for tests.

A collection's name on the server is `<workspace>.<store>.<collection>`. As on Edge, only the database says which
collection a store serves; the server's aliases are not used, so the two cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

from retrieval.errors import IndexUnavailable, UnknownCollection
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
    Scores,
    in_order,
)
from retrieval.index.records import parse_revision_key
from retrieval.index.stored import check_dimension, count_sound, payload, point, scored
from retrieval.model import Attributes, Point, SparseVector

MOST_FILES = 1_000_000  # facets want a limit


class RemoteEngine:
    """Collections on a Qdrant server."""

    embedded = False

    def __init__(self, client: QdrantClient, search_width: int = SEARCH_WIDTH) -> None:
        self._client = client
        self._search_width = search_width

    @classmethod
    def at(cls, url: str, api_key: str = "", timeout: int = 30, search_width: int = SEARCH_WIDTH) -> RemoteEngine:
        """The server at a URL; the first call to it is made when a collection is used."""
        client = QdrantClient(url=url, api_key=api_key or None, timeout=timeout, check_compatibility=False)
        return cls(client, search_width)

    def create(self, ref: CollectionRef, dimension: int) -> RemoteIndex:
        name = _name(ref)
        with _engine(f"collection {ref} could not be made"):
            self._client.create_collection(
                name,
                vectors_config={DENSE: models.VectorParams(size=dimension, distance=models.Distance.COSINE)},
                sparse_vectors_config={SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
            )
            if not _is_local(self._client):
                for field in KEYWORD_FIELDS:
                    self._client.create_payload_index(name, field, models.PayloadSchemaType.KEYWORD)
        return RemoteIndex(self._client, name, dimension, self._search_width)

    def open(self, ref: CollectionRef) -> RemoteIndex:
        if not self.exists(ref):
            raise UnknownCollection(f"there is no collection {ref}; index the store's files again")
        with _engine(f"collection {ref} could not be opened"):
            vectors = self._client.get_collection(_name(ref)).config.params.vectors
        dense = vectors.get(DENSE) if isinstance(vectors, dict) else None
        if dense is None:
            raise IndexUnavailable(f"collection {ref} has no vectors named {DENSE}; it was not made by Tandem")
        return RemoteIndex(self._client, _name(ref), dense.size, self._search_width)

    def exists(self, ref: CollectionRef) -> bool:
        with _engine(f"collection {ref} could not be looked up"):
            return self._client.collection_exists(_name(ref))

    def collections(self, workspace_id: str, store_id: str) -> list[CollectionRef]:
        prefix = f"{workspace_id}.{store_id}."
        with _engine(f"the collections of store {store_id} could not be listed"):
            names = [one.name for one in self._client.get_collections().collections]
        return [CollectionRef(workspace_id, store_id, name[len(prefix) :]) for name in names if name.startswith(prefix)]

    def drop(self, ref: CollectionRef) -> None:
        with _engine(f"collection {ref} could not be dropped"):
            self._client.delete_collection(_name(ref))

    def close(self) -> None:
        self._client.close()


class RemoteIndex:
    """One collection on the server."""

    def __init__(self, client: QdrantClient, name: str, dimension: int, search_width: int) -> None:
        self._client = client
        self._name = name
        self._dimension = dimension
        self._params = models.SearchParams(hnsw_ef=search_width)
        self._ranges = RangeIndexes(self._create_range_index)

    def upsert(self, points: Sequence[Point]) -> None:
        check_dimension(self._name, self._dimension, points)
        self._ranges.cover(one.chunk.source.attributes for one in points)
        for start in range(0, len(points), BATCH):
            batch = [_engine_point(one) for one in points[start : start + BATCH]]
            with self._calling("be written"):
                self._client.upsert(self._name, batch, wait=True)

    def delete_file(self, file_id: str) -> None:
        self._delete(conditions.of_file(file_id))

    def delete_revision(self, file_id: str, revision: int) -> None:
        self._delete(conditions.of_revision(file_id, revision))

    def delete_other_revisions(self, file_id: str, keep_revision: int) -> None:
        self._delete(conditions.of_other_revisions(file_id, keep_revision))

    def set_attributes(self, file_id: str, attributes: Attributes) -> None:
        self._ranges.cover([attributes])
        chosen = models.FilterSelector(filter=_filter(conditions.of_file(file_id)))
        with self._calling("be written"):
            self._client.set_payload(self._name, attribute_payload(attributes), points=chosen, wait=True)

    def search(self, dense: Sequence[float], sparse: SparseVector, limit: int, scope: Scope) -> Candidates:
        allowed = _filter(conditions.of_scope(scope))
        stages: list[Any] = [(DENSE, list(dense))]
        if sparse.indices:
            stages.append((SPARSE, models.SparseVector(indices=list(sparse.indices), values=list(sparse.values))))
        requests = [
            models.QueryRequest(
                query=query,
                using=name,
                limit=limit,
                filter=allowed,
                params=self._params,
                with_payload=True,
            )
            for name, query in stages
        ]
        with self._calling("be searched"):
            found = [scored(answer.points) for answer in self._client.query_batch_points(self._name, requests)]
        return Candidates(found[0], found[1] if len(found) > 1 else ())

    def scores(
        self, dense: Sequence[float], dense_ids: Sequence[str], sparse: SparseVector, sparse_ids: Sequence[str]
    ) -> Scores:
        terms = models.SparseVector(indices=list(sparse.indices), values=list(sparse.values))
        return Scores(
            self._scores(DENSE, list(dense), dense_ids),
            self._scores(SPARSE, terms, sparse_ids if sparse.indices else ()),
        )

    def points(self, ids: Sequence[str]) -> list[Point]:
        with self._calling("be read"):
            records = self._client.retrieve(self._name, list(ids), with_payload=True, with_vectors=True)
        return in_order(ids, [point(record) for record in records])

    def count(self) -> int:
        return self._count(None)

    def count_file(self, file_id: str, revision: int | None = None) -> int:
        return self._count(conditions.of_points(file_id, revision))

    def revisions(self) -> Mapping[tuple[str, int], int]:
        with self._calling("be counted"):
            hits = self._client.facet(self._name, "file_revision", limit=MOST_FILES, exact=True).hits
        return {parse_revision_key(str(hit.value)): hit.count for hit in hits if hit.count}

    def scroll(self, file_id: str | None = None, revision: int | None = None) -> Iterator[Point]:
        for record in self._records(conditions.of_points(file_id, revision)):
            yield point(record)

    def verify(self) -> int:
        return count_sound(self._name, self._records(None))

    def flush(self) -> None:
        """Nothing to do: the server answers a write only when it is in its log."""

    def close(self) -> None:
        """Nothing to do: the client belongs to the engine."""

    def _records(self, meant: Group | None) -> Iterator[Any]:
        offset: Any = None
        matching = _filter(meant) if meant else None
        while True:
            with self._calling("be read"):
                records, offset = self._client.scroll(
                    self._name, matching, limit=BATCH, offset=offset, with_payload=True, with_vectors=True
                )
            yield from records
            if offset is None:
                return

    def _scores(self, name: str, query: Any, ids: Sequence[str]) -> dict[str, float]:
        if not ids:
            return {}
        among = models.Filter(must=[models.HasIdCondition(has_id=list(ids))])
        with self._calling("be searched"):
            found = self._client.query_points(
                self._name, query, using=name, limit=len(ids), query_filter=among, with_payload=False
            )
        return {str(hit.id): hit.score for hit in found.points}

    def _count(self, meant: Group | None) -> int:
        with self._calling("be counted"):
            return self._client.count(self._name, _filter(meant) if meant else None, exact=True).count

    def _create_range_index(self, field: str) -> None:
        if not _is_local(self._client):
            with self._calling("be written"):
                self._client.create_payload_index(self._name, field, models.PayloadSchemaType.FLOAT)

    def _delete(self, meant: Group) -> None:
        with self._calling("be written"):
            self._client.delete(self._name, models.FilterSelector(filter=_filter(meant)), wait=True)

    def _calling(self, what: str) -> Any:
        return _engine(f"collection {self._name} could not {what}")


@contextmanager
def _engine(what: str) -> Iterator[None]:
    try:
        yield
    except (ApiException, UnexpectedResponse, httpx.HTTPError, ValueError) as error:
        said = str(error).partition("\n")[0]  # below it stands what the server sent back, or what was sent to it
        raise IndexUnavailable(f"{what}: {said}") from error


def _is_local(client: QdrantClient) -> bool:
    """The client's local mode scans, and warns about every payload index asked of it."""
    return client.init_options.get("location") == ":memory:" or bool(client.init_options.get("path"))


def _name(ref: CollectionRef) -> str:
    return f"{ref.workspace_id}.{ref.store_id}.{ref.collection_id}"


def _filter(meant: Group) -> models.Filter:
    return models.Filter(
        must=[_condition(one) for one in meant.must] or None,
        should=[_condition(one) for one in meant.should] or None,
        must_not=[_condition(one) for one in meant.must_not] or None,
    )


def _condition(meant: Condition) -> models.Condition:
    if isinstance(meant, Group):
        return _filter(meant)
    if isinstance(meant, Compared):
        return models.FieldCondition(key=meant.field, range=models.Range(**{meant.operator: meant.number}))
    match = models.MatchValue(value=meant.value) if isinstance(meant, Is) else models.MatchAny(any=list(meant.values))
    return models.FieldCondition(key=meant.field, match=match)


def _engine_point(one: Point) -> models.PointStruct:
    sparse = models.SparseVector(indices=list(one.sparse.indices), values=list(one.sparse.values))
    vector: dict[str, Any] = {DENSE: list(one.dense), SPARSE: sparse}
    return models.PointStruct(id=one.chunk.id, vector=vector, payload=payload(one.chunk))
