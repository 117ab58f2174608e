"""Bodies between gateway or worker and the retrieval service."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

LONGEST_QUERY = 100_000
"""In characters. One of 20,000 takes 30 ms to embed and one of 900,000 takes 430, of which 256 tokens count."""


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
    collection to write to instead of the live one: one that is being built, or is to be live again. After a refusal
    with 409 (the revision is not wanted any more) no point of that revision is left there, of earlier parts neither.
    `settings` is the recipe that the points were made with; if the collection was made with another, the answer is 409
    `recipe_changed`. `first` marks the first part: what the collection has of this revision is removed before it.
    `asked_at` is when the file was put into the store, in seconds since 1970: freshness is counted from there.
    """

    workspace_id: str
    store_id: str
    file_id: str
    revision: int
    embedder: str
    points: list[PointBody]
    last: bool = True
    collection_id: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    first: bool = False
    asked_at: float | None = None


class UpsertResponse(Contract):
    """How many points of this revision the index now holds."""

    count: int


class DeleteRequest(Contract):
    """POST /points/delete. Removes every revision of the file from the store. `asked_at` is when a user asked for it,
    in seconds since 1970."""

    workspace_id: str
    store_id: str
    file_id: str
    asked_at: float | None = None


class AttributesRequest(Contract):
    """POST /points/attributes. Gives the file's chunks the attributes that the database has for it now."""

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
    """POST /search. `history` is the earlier user turns, oldest first; with it the service completes a follow-up
    question.

    `filters` is a filter on attributes in OpenAI's format; passages that score below `score_threshold` are left out.
    """

    workspace_id: str
    store_ids: list[str]
    query: str = Field(max_length=LONGEST_QUERY)
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
    """`timings_ms` has embed, search (dense and sparse, if the engine reports them separately), fuse, select and total,
    and complete, expand and rerank if they ran; `collections` names the build of each store that answered.
    """

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
    """GET /index. If `embedded`, a new collection is built as a folder under the platform's index folder; if not, its
    points are sent with POST /points.
    """

    embedded: bool


class FileRevision(Contract):
    """`chunks` is how many chunks of it a collection holds."""

    file_id: str
    revision: int
    chunks: int = 0


class SwitchRequest(Contract):
    """POST /collections/switch. Opens a finished build, or the previous collection, checks it, repeats what was written
    meanwhile, and makes it the store's alias.

    `expected_count` None leaves the count unchecked: the collection was checked before. `min_recall` in 0..1 is the
    share of what the live collection finds for stored questions that the new one must find; `force` switches anyway.
    """

    workspace_id: str
    store_id: str
    collection_id: str
    expected_count: int | None = None
    min_recall: float | None = None
    force: bool = False


class SwitchResponse(Contract):
    """If `missing` is not empty, it must be written to the collection first: the collection does not answer yet.

    `recall` None: not compared. `questions` is how many stored questions both were asked.
    """

    collection_id: str
    previous_id: str | None
    count: int
    replayed: int
    missing: list[FileRevision] = Field(default_factory=list)
    recall: float | None = None
    questions: int = 0


class DropCollectionRequest(Contract):
    """POST /collections/drop. Forgets a build and removes its data; one that is live, or was, stays unchanged."""

    workspace_id: str
    store_id: str
    collection_id: str


class DropStoreRequest(Contract):
    """POST /stores/drop. Removes a deleted store's collections."""

    workspace_id: str
    store_id: str


class TidyRequest(Contract):
    """POST /stores/tidy. Removes what the database does not want: chunks, and collections without a row."""

    workspace_id: str
    store_id: str


class TidyResponse(Contract):
    """`held` is what the live collection has afterwards; None if it cannot be read, and `problem` says why."""

    removed_chunks: int
    dropped: list[str]
    held: list[FileRevision] | None
    problem: str | None


class CollectionBody(Contract):
    """One build of a store's index. `count` is None if it is not open: still being built, or retired.

    `settings` is the recipe that it was made with, `problem` why it cannot be read.
    """

    id: str
    state: str
    embedder: str
    dimension: int
    count: int | None
    created_at: float
    settings: dict[str, Any] = Field(default_factory=dict)
    problem: str | None = None


class CollectionsResponse(Contract):
    """GET /collections/{workspace}/{store}. `live_id` is the alias; `count` the points that it holds.

    `embedder` is the one in the settings. `status` is `ready`, `empty`, `damaged`, or `embedder_mismatch` if the live
    collection was made with another. `detail` says what to do about it.
    """

    live_id: str | None
    previous_id: str | None
    count: int
    collections: list[CollectionBody]
    embedder: str = ""
    status: Literal["ready", "empty", "damaged", "embedder_mismatch"] = "ready"
    detail: str | None = None
