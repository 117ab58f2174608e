"""The questions of a guard's sets, each with the passages that retrieval finds for it, as in the gateway."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.guard_sets import Asked, GuardSet
from harness.index import WORKSPACE, indexed
from retrieval.answers.answerability import answerability
from retrieval.embedding.embedder import Bm25Encoder, Embedder
from retrieval.index.port import Scope
from retrieval.model import Passage
from retrieval.search.searcher import Searcher
from services.kit.settings import Platform


@dataclass(frozen=True)
class Case:
    """A question of a set, what retrieval brought for it, and how near that is by its scores."""

    name: str
    asked: Asked
    passages: list[Passage]
    score: float


def found(one: GuardSet, embedder: Embedder) -> list[Case]:
    """Each question with the passages and the score that the gateway would have for it."""
    bm25 = Bm25Encoder()
    searcher = Searcher(embedder, bm25)
    with tempfile.TemporaryDirectory() as folder:
        index = indexed(Path(folder), one.documents, embedder, bm25)
        cases = []
        for asked in one.questions:
            result = searcher.search([index], asked.question, Scope(WORKSPACE), Platform().top_k, history=asked.earlier)
            passages = list(result.passages)
            cases.append(Case(one.name, asked, passages, answerability(result.query, passages)))
        index.close()
    return cases
