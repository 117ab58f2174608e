"""Collections of any size without an embedder: made-up texts and vectors that are as hard to search as real ones.

Words follow Zipf's law, so that some are in every third chunk and most in few. Vectors lie near a space of few
dimensions, as those of embedders do: among wholly random ones nothing is near anything, and a graph finds nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy
from numpy.typing import NDArray

from retrieval.documents.chunking import chunk_id, embedding_text
from retrieval.embedding.embedder import Bm25Encoder, Dense
from retrieval.index.collection_builder import BuildSpec, build
from retrieval.index.edge import EdgeEngine
from retrieval.index.port import CollectionRef
from retrieval.index.records import write_points
from retrieval.model import Chunk, FileRef, Point
from services.database.engine import migrate, open_sessions
from services.database.tables import Collection, File, Store, StoreFile, Workspace
from services.kit.settings import Platform

REF = CollectionRef("ws", "vs", "col")
DIMENSION = 384
INNER = 48  # dimensions in which the vectors differ
NOISE = 0.3
CHUNKS_A_FILE = 50
WORDS = 30_000
AT_ONCE = 10_000

Floats = NDArray[numpy.float32]


class Synthetic:
    """Chunks and questions from one seed."""

    def __init__(self, seed: int = 7) -> None:
        self._rng = numpy.random.default_rng(seed)
        self._directions = self._rng.standard_normal((INNER, DIMENSION), dtype=numpy.float32)
        self._frequencies = numpy.cumsum(1.0 / numpy.arange(1, WORDS + 1))

    def vectors(self, count: int) -> Floats:
        inner = self._rng.standard_normal((count, INNER), dtype=numpy.float32) @ self._directions / INNER**0.5
        noisy = inner + NOISE * self._rng.standard_normal((count, DIMENSION), dtype=numpy.float32)
        unit: Floats = noisy / numpy.linalg.norm(noisy, axis=1, keepdims=True)
        return unit

    def text(self, words: int) -> str:
        drawn = self._rng.random(words) * self._frequencies[-1]
        return " ".join(f"word{number}" for number in numpy.searchsorted(self._frequencies, drawn))

    def questions(self, count: int) -> list[tuple[str, Dense]]:
        """Texts of some 14 tokens, as long as a person's question, and vectors that have nothing to do with them."""
        return [(self.text(4), dense(vector)) for vector in self.vectors(count)]

    def points(self, count: int) -> Iterator[Point]:
        """Chunks of 60 to 90 words with both vectors."""
        bm25 = Bm25Encoder()
        for start in range(0, count, AT_ONCE):
            for number, vector in enumerate(self.vectors(min(AT_ONCE, count - start)), start):
                one = self._chunk(number)
                yield Point(one, dense(vector), bm25.document(embedding_text(one)))

    def _chunk(self, number: int) -> Chunk:
        file, position = divmod(number, CHUNKS_A_FILE)
        source = FileRef(REF.workspace_id, REF.store_id, f"file-{file}", 1)
        text, headings = self.text(int(self._rng.integers(60, 91))), (f"File {file}", f"Part {position}")
        where = f"file-{file}.md", f"File {file}", headings, None
        return Chunk(chunk_id(source, position), source, position, text, *where, 0, len(text))


def dense(vector: Floats) -> Dense:
    return tuple(vector.tolist())


def build_collection(platform: Platform, chunks: int, synthetic: Synthetic) -> None:
    """The collection REF, by the builder that re-indexing uses."""
    platform.home.mkdir(parents=True, exist_ok=True)
    points = platform.home / "points.jsonl"
    write_points(points, synthetic.points(chunks))
    build(BuildSpec(str(collection_folder(platform)), str(points), DIMENSION))
    points.unlink()


def collection_folder(platform: Platform) -> Path:
    return EdgeEngine(platform.index_folder).folder(REF)


def fill_database(platform: Platform, chunks: int) -> None:
    """A store whose live collection is REF, and its files."""
    migrate(platform.database_url)
    inside = {"workspace_id": REF.workspace_id}
    names = [f"file-{number}" for number in range(-(-chunks // CHUNKS_A_FILE))]
    stored = {"purpose": "assistants", "bytes": 0, "sha256": "", "path": ""}
    rows: list[list[object]] = [
        [Workspace(id=REF.workspace_id, name="Benchmark")],
        [Store(id=REF.store_id, name="Docs", collection_id=REF.collection_id, **inside)],
        [Collection(id=REF.collection_id, store_id=REF.store_id, settings={}, embedder=platform.embedding_model,
                    dimension=DIMENSION, state="live", **inside)],
        [File(id=name, filename=f"{name}.md", **stored, **inside) for name in names],
        [StoreFile(store_id=REF.store_id, file_id=name, revision=1, status="completed", **inside) for name in names],
    ]  # fmt: skip
    with open_sessions(platform.database_url).begin() as session:
        for some in rows:
            session.add_all(some)
            session.flush()
