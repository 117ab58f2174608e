"""Documents indexed in this process, and searched as the retrieval service does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from retrieval.documents.chunking import ChunkingSettings
from retrieval.embedding.embedder import Bm25Encoder, Embedder
from retrieval.index.edge import EdgeEngine
from retrieval.index.ingest import prepare
from retrieval.index.port import BATCH, CollectionRef, Scope, VectorIndex
from retrieval.model import FileRef, Passage
from retrieval.search.searcher import Searcher
from services.worker.settings import WorkerSettings

WORKSPACE = "sample"


def indexed(folder: Path, documents: Mapping[str, bytes], embedder: Embedder, bm25: Bm25Encoder) -> VectorIndex:
    """Documents by their filenames, indexed as a worker does."""
    worker = WorkerSettings()
    settings = ChunkingSettings(worker.chunk_size, worker.chunk_overlap)
    index = EdgeEngine(folder).create(CollectionRef(WORKSPACE, "store", "collection"), embedder.dimension)
    for name, content in documents.items():
        points = prepare(content, name, FileRef(WORKSPACE, "store", name, 1), embedder, bm25, settings)
        for start in range(0, len(points), BATCH):
            index.upsert(points[start : start + BATCH])
    return index


class LocalRetriever:
    """Searches an index of this process as the retrieval service does."""

    def __init__(self, index: VectorIndex, embedder: Embedder, bm25: Bm25Encoder) -> None:
        self._index, self._searcher = index, Searcher(embedder, bm25)

    def passages(
        self, question: str, top_k: int, document: str | None = None, history: Sequence[str] = ()
    ) -> list[Passage]:
        scope = Scope(WORKSPACE, frozenset({document}) if document else None)
        return list(self._searcher.search([self._index], question, scope, top_k, history).passages)
