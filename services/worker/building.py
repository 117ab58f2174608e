"""How the points of a new collection get into the index: as a folder built beside it, or through the service."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from retrieval.errors import IndexUnavailable, StaleRevision
from retrieval.index.port import CollectionRef
from retrieval.model import FileRef, Point
from retrieval.records import write_points
from services.worker.heartbeat import Heartbeat
from services.worker.indexing import Indexing
from services.worker.retrieval_client import RetrievalWriter

BUILDING = 0.8  # where a job stands once its points are made
POLL_SECONDS = 0.5
NICE = ("nice", "-n", "10")
FilePoints = tuple[FileRef, list[Point]]


class Builder(Protocol):
    def build(self, ref: CollectionRef, files: Iterable[FilePoints], heartbeat: Heartbeat) -> int:
        """Fill a collection, file by file; returns how many points it holds.

        Raises IndexUnavailable where it could not be filled, JobCancelled. What is there by then is left for the
        caller to drop.
        """
        ...


class FolderBuilder:
    """Builds in a process of its own, in the folder where an embedded index looks for the collection."""

    def __init__(self, index_folder: Path, dimension: int) -> None:
        self._index_folder, self._dimension = index_folder, dimension

    def build(self, ref: CollectionRef, files: Iterable[FilePoints], heartbeat: Heartbeat) -> int:
        folder = self._index_folder / ref.workspace_id / ref.store_id / ref.collection_id
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        points = folder.with_name(f".{ref.collection_id}.points.jsonl")
        spec = points.with_suffix(".spec.json")
        try:
            points.touch()
            count = sum(write_points(points, of_file) for _, of_file in files)
            heartbeat.progress("building", BUILDING)
            spec.write_text(
                json.dumps({"folder": str(folder), "points": str(points), "dimension": self._dimension}),
                encoding="utf-8",
            )
            _run([*NICE, sys.executable, "-m", "retrieval.build", str(spec)], heartbeat)
        finally:
            points.unlink(missing_ok=True)
            spec.unlink(missing_ok=True)
        return count


class ServiceBuilder:
    """Sends each file's points to the retrieval service, whose index is elsewhere."""

    def __init__(self, indexing: Indexing, writer: RetrievalWriter) -> None:
        self._indexing, self._writer = indexing, writer

    def build(self, ref: CollectionRef, files: Iterable[FilePoints], heartbeat: Heartbeat) -> int:
        return sum(self._send(ref, source, points, heartbeat) for source, points in files)

    def _send(self, ref: CollectionRef, source: FileRef, points: list[Point], heartbeat: Heartbeat) -> int:
        heartbeat.check()
        embedder, per_request = self._indexing.embedder.name, self._indexing.settings.points_per_request
        try:
            return self._writer.upsert(source, embedder, points, per_request, ref.collection_id)
        except StaleRevision:
            return 0  # changed or deleted since: the switch copies what a later job writes


def _run(command: list[str], heartbeat: Heartbeat) -> None:
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    _, errors = _attended(process, heartbeat)
    if process.returncode != 0:
        raise IndexUnavailable(f"the builder ended with exit code {process.returncode}: {errors[-500:]}")


def _attended(process: subprocess.Popen[str], heartbeat: Heartbeat) -> tuple[str, str]:
    """The process's output, once it has ended; on cancel it is killed."""
    try:
        while True:
            try:
                return process.communicate(timeout=POLL_SECONDS)
            except subprocess.TimeoutExpired:
                heartbeat.check()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
