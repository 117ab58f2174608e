"""Chunks and points as plain records: what an index stores beside a vector, and lines of a points file."""

from __future__ import annotations

import json
import os
from array import array
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from retrieval.model import Chunk, FileRef, Point, SparseVector


def revision_key(file_id: str, revision: int) -> str:
    """One keyword for one revision of a file; indexes count and delete by it."""
    return f"{file_id}@{revision}"


def parse_revision_key(key: str) -> tuple[str, int]:
    file_id, _, revision = key.rpartition("@")
    return file_id, int(revision)


def chunk_record(chunk: Chunk) -> dict[str, Any]:
    """A chunk as JSON values. `file_revision` is there for filters."""
    source = chunk.source
    return {
        "workspace_id": source.workspace_id,
        "store_id": source.store_id,
        "file_id": source.file_id,
        "revision": source.revision,
        "file_revision": revision_key(source.file_id, source.revision),
        "attributes": dict(source.attributes),
        "position": chunk.position,
        "text": chunk.text,
        "filename": chunk.filename,
        "title": chunk.title,
        "headings": list(chunk.headings),
        "page": chunk.page,
        "start": chunk.start,
        "end": chunk.end,
        "url": chunk.url,
    }


def chunk_from_record(chunk_id: str, record: Mapping[str, Any]) -> Chunk:
    """The chunk that `chunk_record` described. Raises KeyError for a record of another kind."""
    return Chunk(
        id=chunk_id,
        source=FileRef(
            record["workspace_id"], record["store_id"], record["file_id"], record["revision"], record["attributes"]
        ),
        position=record["position"],
        text=record["text"],
        filename=record["filename"],
        title=record["title"],
        headings=tuple(record["headings"]),
        page=record.get("page"),
        start=record["start"],
        end=record["end"],
        url=record.get("url"),
    )


def point_record(point: Point) -> dict[str, Any]:
    """A point as JSON values. The dense vector is its float32 numbers in base64: as digits, they would take four times
    the space and most of the time of writing and reading.
    """
    return {
        "id": point.chunk.id,
        "chunk": chunk_record(point.chunk),
        "dense": b64encode(array("f", point.dense).tobytes()).decode("ascii"),
        "indices": list(point.sparse.indices),
        "values": list(point.sparse.values),
    }


def point_from_record(record: Mapping[str, Any]) -> Point:
    sparse = SparseVector(tuple(record["indices"]), tuple(record["values"]))
    dense = tuple(array("f", b64decode(record["dense"])))
    return Point(chunk_from_record(record["id"], record["chunk"]), dense, sparse)


def write_points(path: Path, points: Iterable[Point]) -> int:
    """Add points to a file of JSON lines; returns how many. A builder reads it."""
    with path.open("a", encoding="utf-8") as file:
        return sum(1 for point in points if file.write(json.dumps(point_record(point), ensure_ascii=False) + "\n"))


def write_whole(path: Path, points: Iterable[Point]) -> None:
    """Write a file of points that either is on the disk with every line or does not exist."""
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    write_points(part, points)
    with part.open("rb") as written:
        os.fsync(written.fileno())
    part.replace(path)


def read_points(path: Path) -> Iterator[Point]:
    """The points of one file, or of every whole one in a folder."""
    for one in sorted(path.glob("*.jsonl")) if path.is_dir() else [path]:
        with one.open(encoding="utf-8") as file:
            for line in file:
                yield point_from_record(json.loads(line))
