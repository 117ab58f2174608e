"""The builder: makes a collection on this machine's disk, optimizes it and closes it, in a process of its own.

    python -m retrieval.index.collection_builder SPEC.json

Building the graphs holds Python's lock for its whole time (14 s for 15,000 vectors), so no process that answers
requests does it. The retrieval service opens the finished folder when it is told to switch. SPEC.json holds the
fields of `BuildSpec`; the last line on standard output is `{"count": ...}`.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from retrieval.errors import IndexUnavailable, RetrievalError
from retrieval.index.edge import EdgeIndex, create_folder
from retrieval.index.folders import unfinished_folder
from retrieval.index.port import BATCH
from retrieval.index.records import read_points
from retrieval.model import Point


@dataclass(frozen=True)
class BuildSpec:
    """What to build. `points` is a file that `retrieval.index.records.write_points` made, or a folder of such files."""

    folder: str
    points: str
    dimension: int

    @classmethod
    def read(cls, path: Path) -> BuildSpec:
        """Raises ValueError or TypeError for a file that is not a specification."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


def build(spec: BuildSpec) -> int:
    """Build the collection; returns how many points it holds. What an earlier, interrupted build left is replaced.

    The folder gets its name when it is complete, so a folder with the name is always complete. Raises IndexUnavailable
    if the engine fails or loses points.
    """
    folder = Path(spec.folder)
    unfinished = unfinished_folder(folder)
    for left in (unfinished, folder):
        shutil.rmtree(left, ignore_errors=True)
    held = _build(spec, unfinished)
    unfinished.rename(folder)
    return held


def _build(spec: BuildSpec, folder: Path) -> int:
    index = create_folder(folder, spec.dimension, Path(spec.folder).name)
    try:
        written = _fill(index, read_points(Path(spec.points)))
        index.optimize()
        index.flush()
        held = index.count()
    finally:
        index.close()
    if held != written:
        raise IndexUnavailable(f"collection {Path(spec.folder).name} holds {held} points of {written}; build it again")
    return held


def _fill(index: EdgeIndex, points: Iterator[Point]) -> int:
    """Write all points; returns how many different ones."""
    ids: set[str] = set()
    while batch := list(islice(points, BATCH)):
        index.upsert(batch)
        ids.update(point.chunk.id for point in batch)
    return len(ids)


def main(arguments: Sequence[str]) -> int:
    """Build what the specification says; returns 0 if it succeeds, else 1, with the reason on standard error."""
    if len(arguments) != 1:
        print("usage: python -m retrieval.index.collection_builder SPEC.json", file=sys.stderr)
        return 2
    try:
        count = build(BuildSpec.read(Path(arguments[0])))
    except (RetrievalError, OSError) as error:
        return _failed(str(error))
    except (ValueError, KeyError, TypeError) as error:
        return _failed(type(error).__name__)  # its words may quote a chunk, and they become the job's reason
    print(json.dumps({"count": count}))
    return 0


def _failed(reason: str) -> int:
    print(f"the collection could not be built: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
