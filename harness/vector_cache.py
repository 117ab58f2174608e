"""An embedder that stores its vectors on disk, so that an experiment can be repeated in seconds."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy

from retrieval.embedding.embedder import Dense, Embedder

AT_ONCE = 256


class CachedEmbedder:
    """Asks `inner` only for texts that the file `<folder>/<name>.sqlite` does not have.

    New texts are embedded in order of length, so that little of a batch is padding, and stored after each batch.
    """

    def __init__(self, inner: Embedder, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._inner = inner
        self.name, self.dimension = inner.name, inner.dimension
        self._rows = sqlite3.connect(folder / f"{Path(inner.name).name}.sqlite", timeout=60)
        self._rows.execute("create table if not exists vectors (digest blob primary key, vector blob) without rowid")

    def embed(self, texts: Sequence[str]) -> list[Dense]:
        return [tuple(row) for row in self.matrix(texts).tolist()]

    def embed_query(self, text: str) -> Dense:
        return self.embed([text])[0]

    def count_tokens(self, text: str) -> int:
        return self._inner.count_tokens(text)

    def matrix(self, texts: Sequence[str]) -> numpy.ndarray[tuple[int, int], numpy.dtype[numpy.float32]]:
        """One row a text."""
        missing = {digest: text for text in texts if self._stored(digest := _digest(text)) is None}
        queue = sorted(missing.items(), key=lambda item: len(item[1]))
        for start in range(0, len(queue), AT_ONCE):
            batch = queue[start : start + AT_ONCE]
            vectors = numpy.asarray(self._inner.embed([text for _, text in batch]), dtype=numpy.float32)
            rows = [(digest, vector.tobytes()) for (digest, _), vector in zip(batch, vectors, strict=True)]
            self._rows.executemany("insert or replace into vectors values (?, ?)", rows)
            self._rows.commit()
        stored = [self._stored(_digest(text)) for text in texts]
        return numpy.vstack([numpy.frombuffer(one or b"", dtype=numpy.float32) for one in stored])

    def _stored(self, digest: bytes) -> bytes | None:
        row = self._rows.execute("select vector from vectors where digest = ?", (digest,)).fetchone()
        return row[0] if row else None


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:16]
