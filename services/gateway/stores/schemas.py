"""Bodies of the knowledge routes that clients send, with OpenAI's limits. An unknown field is refused."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, PlainValidator, model_validator

from retrieval.filters import Filter, parse_filter
from services.gateway.http.bodies import NullsAbsent

MOST_ATTRIBUTES, LONGEST_KEY, LONGEST_VALUE = 16, 64, 512
MOST_IN_A_BATCH = 2000
DEEPEST_JSON = 60
"""A little less than a training file may have, in which it stands within a row."""

Finite = Annotated[float, Field(allow_inf_nan=False)]


def _within_limits(named: dict[str, Any]) -> dict[str, Any]:
    if len(named) > MOST_ATTRIBUTES:
        raise ValueError(f"{len(named)} keys are given; {MOST_ATTRIBUTES} are the most")
    for key, value in named.items():
        if not 1 <= len(key) <= LONGEST_KEY:
            raise ValueError(f"the key {key[:80]!r} has {len(key)} characters; 1 to {LONGEST_KEY} are allowed")
        if isinstance(value, str) and len(value) > LONGEST_VALUE:
            raise ValueError(f"the value of {key!r} has {len(value)} characters; {LONGEST_VALUE} are the most")
    return named


def _as_trained(given: dict[str, Any]) -> dict[str, Any]:
    waiting: list[tuple[Any, int]] = [(given, 1)]
    while waiting:
        one, depth = waiting.pop()
        if depth > DEEPEST_JSON:
            raise ValueError(f"it is nested more than {DEEPEST_JSON} deep")
        if isinstance(one, float) and not math.isfinite(one):
            raise ValueError("it has a number that JSON cannot hold, NaN or beyond 1e308")
        inside = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        waiting += [(item, depth + 1) for item in inside]
    return given


def _filter(raw: object) -> Filter:
    return parse_filter(raw)


Attributes = Annotated[dict[str, str | Finite | bool], AfterValidator(_within_limits)]
Metadata = Annotated[dict[str, str], AfterValidator(_within_limits)]
JsonObject = Annotated[dict[str, Any], AfterValidator(_as_trained)]
"""Any JSON that can be stored, sent on and frozen into a training file: Python reads NaN and 900 brackets, too."""
AttributeFilter = Annotated[Filter, PlainValidator(_filter, json_schema_input_type=dict[str, Any])]


class Strict(NullsAbsent):
    model_config = ConfigDict(extra="forbid")


class ExpiresAfter(Strict):
    anchor: Literal["last_active_at"]
    days: int = Field(ge=1, le=365)


class ChunkSizes(Strict):
    """In tokens of the embedder, which reads 256 of them: beyond that, only BM25 sees a chunk's end."""

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
    """What is absent stays as it is; `metadata` and `expires_after` are taken away by null."""

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
    """`file_ids` share the attributes and the strategy given beside them; each of `files` has its own."""

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


class RankingOptions(Strict):
    """No ranker but `none` reorders passages by a cross-encoder, and only where one is set; `score_threshold` is for
    the fused score, in 0..1."""

    ranker: Literal["none", "auto", "default-2024-11-15"] = "auto"
    score_threshold: float = Field(default=0.0, ge=0.0, le=1.0)


Query = Annotated[str, Field(min_length=1, max_length=4096)]


class StoreSearch(Strict):
    query: Query | Annotated[list[Query], Field(min_length=1, max_length=16)]
    max_num_results: int = Field(default=10, ge=1, le=50)
    filters: AttributeFilter | None = None
    ranking_options: RankingOptions = RankingOptions()
    rewrite_query: bool = False

    def queries(self) -> list[str]:
        return [self.query] if isinstance(self.query, str) else self.query
