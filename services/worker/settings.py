"""What an operator can set on the workers: `[worker]` in tandem.toml, `TANDEM_WORKER_...` in the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

import training
from retrieval.chunking import ChunkingSettings
from retrieval.formats.limits import MIB, Limits
from retrieval.parsing import ParsingLimits
from services.kit.settings import ServiceSettings, service_config


class WorkerSettings(ServiceSettings):
    """Sizes of chunks are in tokens of the embedder."""

    toml_table = "worker"
    model_config = service_config("worker")

    chunk_size: int = Field(default=160, ge=32, le=2048)
    chunk_overlap: int = Field(default=0, ge=0, le=512)
    chunking_strategy: Literal["structure", "sentences", "fixed", "document"] = "structure"
    """How documents are cut; see `retrieval.chunking.ChunkingSettings`."""
    sparse_language: str = "english"
    """The language of BM25's stemmer and stop words."""
    sparse_average_length: float = Field(default=100.0, gt=0)
    """The usual length of a chunk in words that count, for BM25."""
    embed_threads: int = Field(default=2, ge=1)
    points_per_request: int = Field(default=128, ge=1, le=256)
    reindex_threads: int = Field(default=1, ge=1)
    """Threads of a reindexing's process, which also gives way to every other process."""
    min_recall: float = Field(default=0.8, ge=0, le=1)
    """The share of what the live collection finds first for stored questions that a new one must find to replace it."""
    reconcile_hours: float = Field(default=24.0, ge=0)
    """How often differences between database, files and index are looked for; 0 never does."""
    silent_seconds: float = Field(default=60.0, ge=6.0)
    """A running job without a sign of life for this long has lost its worker, and is given to another."""
    train_threads: int = Field(default=0, ge=0)
    """0 takes every core the process may use."""
    general_examples: Path = Path(training.__path__[0]) / "general.jsonl"
    """Conversations without documents, mixed in against forgetting; JSONL as for training."""
    max_pages: int = Field(default=2000, ge=1)
    """Largest file that is read, in pages or slides."""
    max_characters: int = Field(default=10_000_000, ge=1000)
    """Largest file that is read, in characters of text."""
    max_unpacked_bytes: int = Field(default=256 * MIB, ge=MIB)
    """What a zipped file (DOCX, PPTX, XLSX, EPUB) may unpack to."""
    max_parse_memory: int = Field(default=1024 * MIB, ge=512 * MIB)
    """Address space, in bytes, that reading one file may take."""
    max_parse_seconds: float = Field(default=60.0, gt=0)
    """Processor time, in seconds, that reading one file may take."""
    keep_versions: int = Field(default=5, ge=0)
    """So many versions of a workspace keep their weights beside those that must: the newest."""
    deadline_train: float = Field(default=24 * 3600.0, gt=0)
    """Seconds after which a fine-tuning job that a schedule queued is ended."""
    load_timeout: float = Field(default=600.0, gt=0)
    """Seconds that a candidate may take to be served by the spare slot."""

    def chunking(self) -> ChunkingSettings:
        """How the documents of a new collection are cut."""
        return ChunkingSettings(self.chunk_size, self.chunk_overlap, self.chunking_strategy)

    def parsing_limits(self) -> ParsingLimits:
        of_file = Limits(self.max_pages, self.max_characters, self.max_unpacked_bytes)
        return ParsingLimits(self.max_parse_memory, self.max_parse_seconds, of_file)
