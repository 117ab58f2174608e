"""The retrieval service's settings: table `[retrieval]`, or `TANDEM_RETRIEVAL_...`."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from retrieval.index.port import SEARCH_WIDTH
from retrieval.search.expansion import ExpansionSettings
from retrieval.search.fusion import FusionSettings, Method
from retrieval.search.searcher import SearchSettings
from services.kit.settings import ServiceSettings, service_config


class RetrievalSettings(ServiceSettings):
    """`index_url` empty keeps the index in this process, under the platform's home; else it is a Qdrant server's URL.

    `candidates` is how many chunks each stage hands to the fusion, `search_width` how many the search of the dense
    graph keeps in view, `max_open_collections` how many stay open on this machine, `rerank_model` a cross-encoder's
    folder or hub id (none where empty). `embedder_threads` is for batches of texts; on OpenVINO a question has one more
    of its own, on torch it shares them. `former_embedders` is how many embedders besides the one that is set may be
    loaded, for stores that are not reindexed yet; with 0 such a store answers with an error. `check_at_start` reads
    every live collection's vectors.
    """

    toml_table: ClassVar[str | None] = "retrieval"
    model_config = service_config("retrieval")

    index_url: str = ""
    index_api_key: str = ""
    candidates: int = Field(default=SearchSettings.candidates, ge=1, le=1000)
    search_width: int = Field(default=SEARCH_WIDTH, ge=1, le=10_000)
    fusion: Method = FusionSettings.method
    dense_weight: float = Field(default=FusionSettings.dense_weight, ge=0.0, le=1.0)
    rrf_k: int = Field(default=FusionSettings.rrf_k, ge=1)
    complete_scores: bool = SearchSettings.complete_scores
    expansion_passages: int = Field(default=ExpansionSettings.passages, ge=0, le=50)
    expansion_dense_share: float = Field(default=ExpansionSettings.dense_share, ge=0.0, le=10.0)
    expansion_sparse_share: float = Field(default=ExpansionSettings.sparse_share, ge=0.0, le=10.0)
    expansion_terms: int = Field(default=ExpansionSettings.terms, ge=0, le=1000)
    rerank_model: str = ""
    rerank_candidates: int = Field(default=SearchSettings.rerank_candidates, ge=1, le=1000)
    join_neighbours: bool = SearchSettings.join_neighbours
    neighbours: int = Field(default=SearchSettings.neighbours, ge=0, le=5)
    embedder_dtype: Literal["bfloat16", "float32"] = "bfloat16"
    embedder_threads: int = Field(default=1, ge=1)
    max_open_collections: int = Field(default=32, ge=2)
    former_embedders: int = Field(default=1, ge=0)
    check_at_start: bool = True

    def search(self) -> SearchSettings:
        return SearchSettings(
            candidates=self.candidates,
            complete_scores=self.complete_scores,
            fusion=FusionSettings(self.fusion, self.dense_weight, self.rrf_k),
            expansion=ExpansionSettings(
                self.expansion_passages, self.expansion_dense_share, self.expansion_sparse_share, self.expansion_terms
            ),
            rerank_candidates=self.rerank_candidates,
            join_neighbours=self.join_neighbours,
            neighbours=self.neighbours,
        )
