"""Bodies between gateway or worker and the retrieval service."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Contract(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ChunkBody(Contract):
    """`retrieval.model.Chunk` on the wire."""

    id: str
    workspace_id: str
    store_id: str
    file_id: str
    revision: int
    position: int
    text: str
    filename: str
    title: str
    headings: list[str]
    page: int | None
    start: int
    end: int
    url: str | None = None
    attributes: dict[str, str | float | bool] = Field(default_factory=dict)


class PointBody(Contract):
    chunk: ChunkBody
    dense: list[float]
    sparse_indices: list[int]
    sparse_values: list[float]


class UpsertRequest(Contract):
    """POST /points. All points of one revision of one file; at most `limit` points a request, `last` on the final one.

    The earlier revisions' points of that file are deleted when the last part has arrived. `collection_id` names a
    collection that is being built, to be written to instead of the live one. A refusal with 409 (the revision is not
    wanted any more) leaves no point of that revision there, of earlier parts neither.
    """

    workspace_id: str
    store_id: str
    file_id: str
    revision: int
    embedder: str
    points: list[PointBody]
    last: bool = True
    collection_id: str | None = None


class UpsertResponse(Contract):
    """How many points of this revision the index now holds."""

    count: int


class DeleteRequest(Contract):
    """POST /points/delete. Removes every revision of the file from the store."""

    workspace_id: str
    store_id: str
    file_id: str


class AttributesRequest(Contract):
    """POST /points/attributes. Gives the file's chunks the attributes that the database has for it by now."""

    workspace_id: str
    store_id: str
    file_id: str


class ChunksRequest(Contract):
    """POST /points/read. The chunks of the wanted revision of a file, in reading order."""

    workspace_id: str
    store_id: str
    file_id: str


class ChunksResponse(Contract):
    chunks: list[ChunkBody]


class SearchRequest(Contract):
    """POST /search. `history` is the earlier user turns, oldest first; the service makes a follow-up stand alone.

    `filters` is a filter on attributes in OpenAI's words; passages that score below `score_threshold` are left out.
    """

    workspace_id: str
    store_ids: list[str]
    query: str
    history: list[str] = Field(default_factory=list)
    top_k: int = Field(default=4, ge=1, le=50)
    file_ids: list[str] | None = None
    filters: dict[str, Any] | None = None
    score_threshold: float = Field(default=0.0, ge=0.0, le=1.0)


class PassageBody(Contract):
    chunk: ChunkBody
    score: float
    dense_rank: int | None = None
    dense_score: float | None = None
    sparse_rank: int | None = None
    sparse_score: float | None = None
    rerank_score: float | None = None


class SearchResponse(Contract):
    """`timings_ms` has embed, search (dense and sparse, where the engine tells them apart), fuse, select and total, and
    complete, expand and rerank where they ran; `collections` names the build of each store that answered."""

    query: str
    passages: list[PassageBody]
    timings_ms: dict[str, float]
    collections: dict[str, str]


class EmbeddingRequest(Contract):
    """POST /embeddings."""

    texts: list[str]


class EmbeddingResponse(Contract):
    model: str
    vectors: list[list[float]]
    tokens: int


class IndexResponse(Contract):
    """GET /index. `embedded`: a new collection is built as a folder under the platform's index folder; where it is not,
    its points are sent with POST /points."""

    embedded: bool


class SwitchRequest(Contract):
    """POST /collections/switch. Opens a finished build, checks it, replays what was written meanwhile, and makes it
    the store's alias."""

    workspace_id: str
    store_id: str
    collection_id: str
    expected_count: int


class SwitchResponse(Contract):
    collection_id: str
    previous_id: str | None
    count: int
    replayed: int


class DropCollectionRequest(Contract):
    """POST /collections/drop. Gives a build up and removes its data; one that is live, or was, stays as it is."""

    workspace_id: str
    store_id: str
    collection_id: str


class DropStoreRequest(Contract):
    """POST /stores/drop. Removes a deleted store's collections."""

    workspace_id: str
    store_id: str


class CollectionBody(Contract):
    """One build of a store's index. `count` is None where it is not open: still being built, or retired."""

    id: str
    state: str
    embedder: str
    dimension: int
    count: int | None
    created_at: float


class CollectionsResponse(Contract):
    """GET /collections/{workspace}/{store}. `live_id` is the alias; `count` the points that it holds."""

    live_id: str | None
    previous_id: str | None
    count: int
    collections: list[CollectionBody]
