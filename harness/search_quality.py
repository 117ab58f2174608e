"""How good the search is on public question sets: nDCG@10 of each stage, each fusion, and the setting in use.

Documents are chunked, embedded and indexed as the platform does it, with the default settings, and searched through
`EdgeIndex` and `Searcher`; a document ranks where its best chunk does. Only titles and texts are indexed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean

from harness.retrieval_sets import Corpus, QuestionSet, Relevant, corpus
from harness.vector_cache import CachedEmbedder
from retrieval.documents.chunking import ChunkingSettings, chunk, embedding_text
from retrieval.embedding.embedder import Bm25Encoder, SentenceTransformerEmbedder
from retrieval.index.edge import EdgeIndex, create_folder
from retrieval.index.port import Candidates, Scope
from retrieval.metrics import ndcg_at_k
from retrieval.model import Chunk, FileRef, Point
from retrieval.search.duplicates import collapse
from retrieval.search.fusion import FusionSettings, fuse
from retrieval.search.searcher import Searcher, SearchSettings

WORKSPACE = "quality"
TOP_K = 50  # the most that a request to the service may ask for; ten documents are read off it
FUSIONS = {
    "RRF, k 10": FusionSettings("rrf", rrf_k=10),
    "RRF, k 60": FusionSettings("rrf", rrf_k=60),
    "DBSF": FusionSettings("dbsf", dense_weight=0.5),
    "relative 0.4": FusionSettings("relative", dense_weight=0.4),
    "relative 0.5": FusionSettings("relative", dense_weight=0.5),
    "relative 0.6": FusionSettings("relative", dense_weight=0.6),
    "weighted 0.3": FusionSettings("weighted", dense_weight=0.3),
    "weighted 0.5": FusionSettings("weighted", dense_weight=0.5),
    "weighted 0.7": FusionSettings("weighted", dense_weight=0.7),
}
BARS = {"SciFact": 0.73, "MedQuAD plain": 0.92, "MedQuAD synonym": 0.68, "NPL": 0.50, "LIMIT-small": 0.98}

Ranking = Callable[[str], Sequence[str]]


@dataclass(frozen=True)
class Bench:
    """One indexed corpus, and what it is searched with."""

    index: EdgeIndex
    embedder: CachedEmbedder
    bm25: Bm25Encoder

    def candidates(self, question: str) -> Candidates:
        dense, sparse = self.embedder.embed_query(question), self.bm25.query(question)
        return self.index.search(dense, sparse, TOP_K, Scope(WORKSPACE))

    def found(self, question: str, settings: SearchSettings) -> list[Chunk]:
        """The passages' chunks, best first, as `Searcher` has them."""
        searcher = Searcher(self.embedder, self.bm25, settings)
        found = searcher.search([self.index], question, Scope(WORKSPACE), TOP_K)
        return [passage.chunk for passage in found.passages]


@contextmanager
def indexed(
    documents: Corpus, embedder: CachedEmbedder, chunking: ChunkingSettings | None = None
) -> Iterator[tuple[Bench, int]]:
    """The corpus in an Edge index of its own, and how many chunks it has."""
    bm25, settings = Bm25Encoder(), chunking or ChunkingSettings()
    chunks = [
        one
        for name, document in documents.documents.items()
        for one in chunk(document, FileRef(WORKSPACE, "quality", name, 1), settings, embedder.count_tokens)
    ]
    texts = [embedding_text(one) for one in chunks]
    points = [
        Point(one, vector, bm25.document(text))
        for one, vector, text in zip(chunks, embedder.embed(texts), texts, strict=True)
    ]
    with tempfile.TemporaryDirectory(prefix="tandem-quality-") as folder:
        index = create_folder(Path(folder) / "index", embedder.dimension, documents.name)
        try:
            index.upsert(points)
            yield Bench(index, embedder, bm25), len(points)
        finally:
            index.close()


def rows(bench: Bench) -> dict[str, Ranking]:
    """Each line of the table: a question to documents, best first."""

    candidates = cache(bench.candidates)

    def fused(settings: FusionSettings) -> Ranking:
        return lambda question: documents_of(
            [passage.chunk for passage in collapse(fuse(candidates(question), settings))]
        )

    return {
        "dense": lambda question: documents_of([one.chunk for one in candidates(question).dense]),
        "BM25": lambda question: documents_of([one.chunk for one in candidates(question).sparse]),
        **{name: fused(settings) for name, settings in FUSIONS.items()},
        "in use": lambda question: documents_of(bench.found(question, SearchSettings())),
    }


def documents_of(chunks: Sequence[Chunk]) -> list[str]:
    """Each document once, where its best chunk stands."""
    return list(dict.fromkeys(one.source.file_id for one in chunks))


def mean_ndcg(questions: Sequence[tuple[str, Relevant]], ranking: Ranking) -> float:
    return fmean(ndcg_at_k(ranking(text), relevant, 10) for text, relevant in questions)


def measure(sets: Sequence[QuestionSet], embedder: CachedEmbedder) -> dict[str, dict[str, float]]:
    """nDCG@10 by set and row; each corpus is indexed once."""
    figures: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(one.corpus for one in sets):
        with indexed(corpus(name), embedder) as (bench, _):
            for one in (one for one in sets if one.corpus == name):
                embedder.matrix([text for text, _ in one.questions])
                figures[one.name] = {
                    row: round(mean_ndcg(one.questions, ranking), 4) for row, ranking in rows(bench).items()
                }
                print(f"  {one.name}: {figures[one.name]}", flush=True)
    return figures


def open_embedder(folder: Path, model: str = "all-minilm-l6-v2") -> CachedEmbedder:
    return CachedEmbedder(SentenceTransformerEmbedder(model, threads=1), folder)
