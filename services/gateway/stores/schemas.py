"""Bodies of the calls on vector stores that clients send, with OpenAI's limits. An unknown field is refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from services.gateway.http.bodies import Body, Strict
from services.gateway.http.fields import AttributeFilter, Attributes, Metadata, RankingOptions
from services.gateway.stores.files import Entry

MOST_IN_A_BATCH = 2000


class ExpiresAfter(Strict):
    anchor: Literal["last_active_at"]
    days: int = Field(ge=1, le=365)


class ChunkSizes(Strict):
    """In tokens of the embedder. The embedder reads 256 tokens; only BM25 sees the rest of a longer chunk."""

    max_chunk_size_tokens: int = Field(ge=100, le=4096)
    chunk_overlap_tokens: int = Field(ge=0)

    @model_validator(mode="after")
    def _overlap_is_at_most_half(self) -> ChunkSizes:
        if 2 * self.chunk_overlap_tokens > self.max_chunk_size_tokens:
            raise ValueError("chunk_overlap_tokens must not exceed half of max_chunk_size_tokens")
        return self


class AutoChunking(Strict):
    type: Literal["auto"]


class StaticChunking(Strict):
    type: Literal["static"]
    static: ChunkSizes


Chunking = Annotated[AutoChunking | StaticChunking, Field(discriminator="type")]


class StoreCreate(Strict):
    name: str = Field(default="", max_length=255)
    description: str | None = Field(default=None, max_length=2048)
    metadata: Metadata | None = None
    expires_after: ExpiresAfter | None = None
    file_ids: list[str] = Field(default_factory=list, max_length=MOST_IN_A_BATCH)
    chunking_strategy: Chunking | None = None

    @model_validator(mode="after")
    def _chunking_is_for_files(self) -> StoreCreate:
        if self.chunking_strategy is not None and not self.file_ids:
            raise ValueError("chunking_strategy is for file_ids, of which there are none; give it with each file")
        return self


class StoreUpdate(Strict):
    """Absent fields stay as they are; null removes `metadata` and `expires_after`."""

    name: str | None = Field(default=None, max_length=255)
    metadata: Metadata | None = None
    expires_after: ExpiresAfter | None = None


class StoreFileCreate(Strict):
    file_id: str
    attributes: Attributes | None = None
    chunking_strategy: Chunking | None = None


class StoreFileUpdate(Strict):
    attributes: Attributes | None


class BatchCreate(Strict):
    """`file_ids` share the attributes and the strategy of the body; each of `files` has its own."""

    file_ids: list[str] | None = Field(default=None, min_length=1, max_length=MOST_IN_A_BATCH)
    files: list[StoreFileCreate] | None = Field(default=None, min_length=1, max_length=MOST_IN_A_BATCH)
    attributes: Attributes | None = None
    chunking_strategy: Chunking | None = None

    @model_validator(mode="after")
    def _one_list_with_each_file_once(self) -> BatchCreate:
        if (self.file_ids is None) == (self.files is None):
            raise ValueError("give either file_ids or files")
        if self.files is not None and (self.attributes is not None or self.chunking_strategy is not None):
            raise ValueError("attributes and chunking_strategy go with file_ids; with files, give them to each file")
        ids = self.file_ids or [file.file_id for file in self.files or []]
        if len(set(ids)) < len(ids):
            raise ValueError("a file is named twice")
        return self

    def entries(self) -> list[StoreFileCreate]:
        if self.files is not None:
            return self.files
        attributes, chunking = self.attributes, self.chunking_strategy
        return [
            StoreFileCreate(file_id=one, attributes=attributes, chunking_strategy=chunking)
            for one in self.file_ids or []
        ]


Query = Annotated[str, Field(min_length=1, max_length=4096)]


class StoreSearch(Strict):
    query: Query | Annotated[list[Query], Field(min_length=1, max_length=16)]
    max_num_results: int = Field(default=10, ge=1, le=50)
    filters: AttributeFilter | None = None
    ranking_options: RankingOptions = RankingOptions()
    rewrite_query: bool = False

    def queries(self) -> list[str]:
        return [self.query] if isinstance(self.query, str) else self.query


class ReindexRequest(Body):
    """Sizes in tokens; absent ones come from the worker's settings. `force` switches even if recall is low."""

    chunk_size: int | None = Field(default=None, ge=32, le=2048)
    chunk_overlap: int | None = Field(default=None, ge=0, le=512)
    sparse_language: str | None = Field(default=None, max_length=32)
    sparse_average_length: float | None = Field(default=None, gt=0, le=10_000)
    sparse_tokenizer: Literal["multilingual", "word"] | None = None
    force: Literal[True] | None = None


def sizes(strategy: AutoChunking | StaticChunking | None) -> dict[str, int] | None:
    """A file's own chunk sizes; None if the store's sizes are used."""
    return strategy.static.model_dump() if isinstance(strategy, StaticChunking) else None


def entry(body: StoreFileCreate) -> Entry:
    return Entry(body.file_id, body.attributes or {}, sizes(body.chunking_strategy))
