"""Reranks the best passages, more slowly: a cross-encoder reads question and passage together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from threading import Lock
from typing import Protocol

from retrieval.documents.chunking import embedding_text
from retrieval.model import Passage


class Reranker(Protocol):
    """Scores texts for a question; higher is better. Only the order of the scores means anything."""

    @property
    def name(self) -> str: ...

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """One score a text, in order."""
        ...


class CrossEncoderReranker:
    """A sentence-transformers CrossEncoder: a folder or a hub id. Calls from several threads take turns.

    `most_tokens` limits question and passage together; longer input is cut.
    """

    def __init__(self, model: str, *, most_tokens: int = 512) -> None:
        from sentence_transformers import CrossEncoder

        self.name = model
        self._model = CrossEncoder(model, device="cpu", max_length=most_tokens)
        self._lock = Lock()

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        if not texts:
            return []
        with self._lock:
            found = self._model.predict([(question, text) for text in texts], show_progress_bar=False)
        return [float(score) for score in found]


def rerank(question: str, passages: Sequence[Passage], reranker: Reranker) -> list[Passage]:
    """The passages in the reranker's order, each with its score there; ties keep their former order."""
    scores = reranker.scores(question, [embedding_text(passage.chunk) for passage in passages])
    scored = [replace(one, rerank_score=score) for one, score in zip(passages, scores, strict=True)]
    return sorted(scored, key=lambda one: -(one.rerank_score or 0.0))
