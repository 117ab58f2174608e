"""What an operator can set on the workers: `[worker]` in tandem.toml, `TANDEM_WORKER_...` in the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

import training
from services.kit.settings import ServiceSettings, service_config


class WorkerSettings(ServiceSettings):
    """Sizes of chunks are in tokens of the embedder."""

    toml_table = "worker"
    model_config = service_config("worker")

    chunk_size: int = Field(default=160, ge=32, le=2048)
    chunk_overlap: int = Field(default=0, ge=0, le=512)
    chunking_strategy: Literal["structure", "sentences", "fixed", "document"] = "structure"
    """How documents are cut; see `retrieval.chunking.ChunkingSettings`."""
    embed_threads: int = Field(default=2, ge=1)
    points_per_request: int = Field(default=128, ge=1, le=256)
    train_threads: int = Field(default=0, ge=0)
    """0 takes every core the process may use."""
    general_examples: Path = Path(training.__path__[0]) / "general.jsonl"
    """Conversations without documents, mixed in against forgetting; JSONL as for training."""
    load_timeout: float = Field(default=600.0, gt=0)
    """Seconds that a candidate may take to be served by the spare slot."""
