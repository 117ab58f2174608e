"""The real parts of a run without a platform: documents indexed in this process, a training, an engine that serves it.

For tests and benchmarks that train more than one model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from benchmarks.running import BRINDLE, read_jsonl
from retrieval.documents.chunking import ChunkingSettings
from retrieval.embedding.embedder import Bm25Encoder, Embedder
from retrieval.index.edge import EdgeEngine
from retrieval.index.ingest import prepare
from retrieval.index.port import BATCH, CollectionRef, Scope, VectorIndex
from retrieval.model import FileRef, Passage
from retrieval.search.searcher import Searcher
from services.contracts.generation import Route
from services.generation.engines.cores import allowed_cores
from services.generation.service import choose_engine
from services.generation.settings import GenerationSettings
from services.generation.slots.starting import EngineStarter, Weights
from services.kit.settings import Platform
from services.worker.fine_tuning.ports import SlotAnswerer
from services.worker.settings import WorkerSettings
from training.config import LoraSettings
from training.judging.questions import Question
from training.model import TrainingRow
from training.tuning.lora import train_adapter
from training.tuning.results import LoraResult
from training.weights.merge import merge

WORKSPACE = "sample"
START_SECONDS = 1200.0  # other work on the machine slows a start that takes 30 s


def sample_documents() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((BRINDLE / "documents").iterdir())}


def sample_questions() -> list[Question]:
    """The sample's 40 answerable and 15 unanswerable questions, none of them in its training examples."""
    answerable = [
        Question(row["question"], True, row["document"], row["answer"], tuple(map(tuple, row["facts"])))
        for row in read_jsonl(BRINDLE / "questions.jsonl")
    ]
    return answerable + [Question(row["question"], False) for row in read_jsonl(BRINDLE / "unanswerable.jsonl")]


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


def tune(
    base: Path, rows: Sequence[TrainingRow], held_out: Sequence[TrainingRow], settings: LoraSettings, folder: Path
) -> tuple[Path, LoraResult]:
    """Train an adapter and merge it: the folder of merged weights and what came of the training."""
    result = train_adapter(base, rows, held_out, settings, folder / "work", lambda _: None, lambda: False)
    return merge(base, result.adapter, folder / "weights"), result


@contextmanager
def served(weights: Path, folder: Path) -> Iterator[SlotAnswerer]:
    """The weights, served by the engine of this machine."""
    settings = GenerationSettings()
    engine = choose_engine(Platform(home=folder), settings)
    start = EngineStarter(engine, folder, START_SECONDS, settings.stop_timeout_seconds)
    process = start("slot", Weights(weights), allowed_cores(), Event())
    try:
        yield SlotAnswerer(Route(slot="slot", address=process.address, model="base"))
    finally:
        process.stop(settings.stop_timeout_seconds)
