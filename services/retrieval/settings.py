"""The retrieval service's settings: table `[retrieval]`, or `TANDEM_RETRIEVAL_...`."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from retrieval.fusion import FusionSettings
from retrieval.search import SearchSettings
from services.kit.settings import ServiceSettings, service_config


class RetrievalSettings(ServiceSettings):
    """`index_url` empty keeps the index in this process, under the platform's home; else it is a Qdrant server's URL.

    `candidates` is how many chunks each stage hands to the fusion, `max_open_collections` how many stay open on this
    machine, `embedder_threads` torch's threads (one is nearly as fast as two for a question, and leaves a core free).
    `former_embedders` is how many embedders besides the one that is set may be loaded, for stores that are not
    reindexed yet; with 0 such a store answers with an error. `check_at_start` reads every live collection's vectors.
    """

    toml_table: ClassVar[str | None] = "retrieval"
    model_config = service_config("retrieval")

    index_url: str = ""
    index_api_key: str = ""
    candidates: int = Field(default=30, ge=1, le=1000)
    fusion: Literal["weighted", "rrf"] = "weighted"
    dense_weight: float = Field(default=0.5, ge=0.0, le=1.0)
    rrf_k: int = Field(default=10, ge=1)
    embedder_dtype: Literal["bfloat16", "float32"] = "bfloat16"
    embedder_threads: int = Field(default=1, ge=1)
    max_open_collections: int = Field(default=32, ge=2)
    former_embedders: int = Field(default=1, ge=0)
    check_at_start: bool = True

    def search(self) -> SearchSettings:
        return SearchSettings(self.candidates, FusionSettings(self.fusion, self.dense_weight, self.rrf_k))
