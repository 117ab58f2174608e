"""How a collection's points are made. A collection stores its recipe; points made differently do not belong in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any

from retrieval.documents.chunking import ChunkingSettings
from retrieval.embedding.embedder import TOKENIZERS, Bm25Encoder, Tokenizer
from retrieval.errors import InputError

FORMAT = 1
"""Raised when the text that both vectors are made of, or a point's record, changes."""


@dataclass(frozen=True)
class SparseSettings:
    """BM25's: the language of stemmer and stop words, the usual length of a chunk in words that count, and what cuts a
    text into words (`retrieval.embedding.embedder.Bm25Encoder`)."""

    language: str = "english"
    average_length: float = 100.0
    tokenizer: Tokenizer = "multilingual"


UNTOLD = SparseSettings(tokenizer="word")
"""How the points of a collection were made whose settings do not say: it is older than what they leave out."""


@dataclass(frozen=True)
class Recipe:
    """`embedder` and `dimension` name the model of the dense vectors; `dimension` is how many numbers one has."""

    embedder: str
    dimension: int
    chunking: ChunkingSettings
    sparse: SparseSettings
    format: int = FORMAT

    def settings(self) -> dict[str, Any]:
        """All of it but the dimension, as JSON values: what stands in a collection's row."""
        return {"embedder": self.embedder, **asdict(self.chunking), **named(self.sparse), "format": self.format}


def named(sparse: SparseSettings) -> dict[str, Any]:
    """The sparse settings by their names among a collection's."""
    return {f"sparse_{name}": value for name, value in asdict(sparse).items()}


def chunking_of(settings: Mapping[str, Any], default: ChunkingSettings) -> ChunkingSettings:
    """The chunking among a collection's settings; the default's where they do not say."""
    named = {field.name: settings[field.name] for field in fields(default) if field.name in settings}
    return ChunkingSettings(**{**asdict(default), **named})


def sparse_of(settings: Mapping[str, Any], default: SparseSettings = UNTOLD) -> SparseSettings:
    """As `chunking_of`, for the sparse vectors. Raises InputError for a tokenizer that there is not."""
    tokenizer = settings.get("sparse_tokenizer", default.tokenizer)
    if tokenizer not in TOKENIZERS:
        raise InputError(f"BM25 has no tokenizer '{tokenizer}'; it has {' and '.join(TOKENIZERS)}")
    return SparseSettings(
        language=str(settings.get("sparse_language", default.language)),
        average_length=float(settings.get("sparse_average_length", default.average_length)),
        tokenizer=tokenizer,
    )


@lru_cache(maxsize=16)
def bm25_encoder(sparse: SparseSettings) -> Bm25Encoder:
    """The encoder of documents and queries. Raises InputError for a language that it does not know."""
    try:
        return Bm25Encoder(sparse.language, sparse.average_length, sparse.tokenizer)
    except ValueError as error:
        raise InputError(f"BM25 knows no language '{sparse.language}': {error}") from error
