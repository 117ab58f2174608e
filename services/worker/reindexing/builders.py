"""How a reindexing job fills its new collection: as a folder built beside the index, or through the service.

In both cases a finished file is not done again: the next worker continues where a killed one stopped.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from retrieval.errors import BuildFailed, StaleRevision
from retrieval.index.folders import points_folder
from retrieval.index.port import CollectionRef
from retrieval.index.recipe import Recipe
from retrieval.index.records import revision_key, write_whole
from retrieval.model import FileRef, Point
from services.worker.heartbeat import Heartbeat
from services.worker.reindexing.abandoned import remove_build_folders
from services.worker.retrieval_client import RetrievalWriter

BUILDING = 0.8  # where a job stands once its points are made
POLL_SECONDS = 0.5
MOST_STARTS = 3  # a builder that somebody killed is started again
BUILDER_COMMAND = (sys.executable, "-m", "services.worker.reindexing.builder_process")


class Builder(Protocol):
    """Fills one collection, file by file, and remembers across processes which files it has.

    Its methods raise BuildFailed if the collection cannot be filled, and the errors of the retrieval service's client.
    """

    def done(self) -> bool:
        """Whether an earlier worker finished the collection before it died."""
        ...

    def holds(self, source: FileRef) -> bool:
        """Whether the collection has all of this revision."""
        ...

    def add(self, source: FileRef, points: Sequence[Point]) -> None: ...

    def finish(self, heartbeat: Heartbeat) -> int:
        """Make the collection ready for the switch; returns how many points it holds. Raises JobCancelled."""
        ...

    def clear(self) -> None:
        """Remove what was only needed for building."""
        ...


class FolderBuilder:
    """Builds in its own process, in the folder where an embedded index looks for the collection.

    Until then each file's points are in their own file beside it, whose name says how many there are.
    """

    def __init__(
        self, index_folder: Path, ref: CollectionRef, recipe: Recipe, command: Sequence[str] = BUILDER_COMMAND
    ) -> None:
        self._folder = index_folder / ref.workspace_id / ref.store_id / ref.collection_id
        self._points = points_folder(self._folder)
        self._recipe, self._command = recipe, command

    def done(self) -> bool:
        return self._folder.is_dir()

    def holds(self, source: FileRef) -> bool:
        return any(self._points.glob(f"{revision_key(source.file_id, source.revision)}.*.jsonl"))

    def add(self, source: FileRef, points: Sequence[Point]) -> None:
        name = f"{revision_key(source.file_id, source.revision)}.{len(points)}.jsonl"
        try:
            self._points.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(self._points / name, points)
        except OSError as error:
            raise BuildFailed(
                f"the points of file {source.file_id} could not be written to {self._points} ({error.strerror}); the "
                "live index is as it was. Make room on the disk, and reindex again"
            ) from error

    def finish(self, heartbeat: Heartbeat) -> int:
        heartbeat.progress("building", BUILDING)
        self._points.mkdir(parents=True, exist_ok=True, mode=0o700)
        spec = self._points / "spec.json"
        content = {"folder": str(self._folder), "points": str(self._points), "dimension": self._recipe.dimension}
        spec.write_text(json.dumps(content), encoding="utf-8")
        _run([*self._command, str(spec)], heartbeat)
        return sum(int(path.name.split(".")[-2]) for path in self._points.glob("*.jsonl"))

    def clear(self) -> None:
        remove_build_folders(self._folder)


class ServiceBuilder:
    """Sends each file's points to the retrieval service, whose index is elsewhere.

    `held`: by file and revision, the number of chunks of what the collection has completely, as the database says.
    """

    def __init__(
        self,
        writer: RetrievalWriter,
        ref: CollectionRef,
        recipe: Recipe,
        per_request: int,
        held: dict[tuple[str, int], int],
    ) -> None:
        self._writer, self._ref, self._recipe, self._per_request = writer, ref, recipe, per_request
        self._held = dict(held)

    def done(self) -> bool:
        return False

    def holds(self, source: FileRef) -> bool:
        return (source.file_id, source.revision) in self._held

    def add(self, source: FileRef, points: Sequence[Point]) -> None:
        try:
            count = self._writer.upsert(source, self._recipe, points, self._per_request, self._ref.collection_id)
        except StaleRevision:
            return  # changed or deleted since: the switch sees to it
        self._held[(source.file_id, source.revision)] = count

    def finish(self, heartbeat: Heartbeat) -> int:
        heartbeat.check()
        return sum(self._held.values())

    def clear(self) -> None:
        """There is nothing else to remove."""


def _run(command: list[str], heartbeat: Heartbeat) -> None:
    for _ in range(MOST_STARTS):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        _, errors = _attended(process, heartbeat)
        if process.returncode >= 0:
            break  # not killed: what it says would be the same again
    if process.returncode != 0:
        raise BuildFailed(
            f"the builder ended with exit code {process.returncode}: {errors[-500:].strip()}. The live index is as it "
            "was; look for room on the disk, and reindex again"
        )


def _attended(process: subprocess.Popen[str], heartbeat: Heartbeat) -> tuple[str, str]:
    """The process's output once it has ended; on cancel and pause the process is killed."""
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
