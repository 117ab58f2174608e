"""What Qdrant Edge does on a disk, beyond the contract: refusal of a second opener, damage, builders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retrieval.errors import IndexUnavailable, UnknownCollection
from retrieval.index.collection_builder import BuildSpec, build
from retrieval.index.edge import EdgeEngine
from retrieval.index.port import CollectionRef
from retrieval.index.records import write_points
from retrieval.model import SparseVector
from tests.contract.test_vector_index import EMBEDDER, EVERYTHING, found, make_point

REF = CollectionRef("w1", "s1", "col_1")


def filled(root: Path, points: int = 300) -> EdgeEngine:
    engine = EdgeEngine(root)
    index = engine.create(REF, EMBEDDER.dimension)
    index.upsert([make_point(f"sentence number {at}", position=at) for at in range(points)])
    index.flush()
    index.close()
    return engine


def test_a_second_opener_is_refused(tmp_path: Path) -> None:
    engine = filled(tmp_path)
    first = engine.open(REF)
    with pytest.raises(IndexUnavailable, match="col_1"):
        engine.open(REF)
    first.close()
    engine.open(REF).close()


@pytest.mark.parametrize("grown_back", [False, True])
def test_lost_vectors_are_noticed_though_the_count_is_right(tmp_path: Path, grown_back: bool) -> None:
    engine = filled(tmp_path)
    vectors = next(engine.folder(REF).rglob("vector_storage-dense/vectors/chunk_0.mmap"))
    size = vectors.stat().st_size
    os.truncate(vectors, 4096)
    if grown_back:  # as a file system leaves it that lost blocks: the right size, with zeros
        os.truncate(vectors, size)
    index = engine.open(REF)
    assert index.count() == 300
    with pytest.raises(IndexUnavailable, match="col_1"):
        index.verify()
    index.close()


@pytest.mark.parametrize("name", ["segment.json", "vector_storage-dense/vectors/status.dat"])
def test_a_damaged_collection_is_refused_in_words(tmp_path: Path, name: str) -> None:
    engine = filled(tmp_path)
    damaged = next(engine.folder(REF).rglob(name))
    os.truncate(damaged, damaged.stat().st_size // 2)
    with pytest.raises(IndexUnavailable, match="col_1"):
        engine.open(REF)


@pytest.mark.parametrize("name", ["..", "", "a/b", "."])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnknownCollection):
        EdgeEngine(tmp_path).folder(CollectionRef("w1", "s1", name))


def test_a_builder_process_leaves_a_closed_collection(tmp_path: Path) -> None:
    points = tmp_path / "points.jsonl"
    write_points(points, [make_point(f"sentence number {at}", position=at) for at in range(300)])
    write_points(points, [make_point("an added line", "f2")])
    spec = tmp_path / "spec.json"
    folder = tmp_path / "w1" / "s1" / "col_1"
    spec.write_text(json.dumps({"folder": str(folder), "points": str(points), "dimension": EMBEDDER.dimension}))
    done = subprocess.run(
        [sys.executable, "-m", "retrieval.index.collection_builder", str(spec)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert json.loads(done.stdout) == {"count": 301}
    index = EdgeEngine(tmp_path).open(REF)
    assert index.verify() == 301
    assert found(index, "added line")[1] == ["an added line"]
    index.close()


def test_a_builder_without_a_specification_says_so(tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text('{"folder": "x"}')
    done = subprocess.run(
        [sys.executable, "-m", "retrieval.index.collection_builder", str(spec)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "could not be built" in done.stderr


def test_building_again_replaces_what_a_broken_off_build_left(tmp_path: Path) -> None:
    filled(tmp_path, 10)
    points = tmp_path / "points.jsonl"
    write_points(points, [make_point("one")])
    spec = BuildSpec(str(EdgeEngine(tmp_path).folder(REF)), str(points), EMBEDDER.dimension)
    assert build(spec) == 1


def test_a_wider_search_of_the_graph_finds_more_of_the_nearest(tmp_path: Path) -> None:
    points, dimension = 7000, 384  # above the size from which the engine builds a graph
    random = np.random.default_rng(5)
    vectors = random.standard_normal((points + 50, dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    stored, asked = vectors[:points], vectors[points:]
    index = EdgeEngine(tmp_path).create(REF, dimension)
    index.upsert(
        [replace(make_point(f"line {at}", position=at), dense=tuple(one.tolist())) for at, one in enumerate(stored)]
    )
    index.optimize()
    index.flush()
    index.close()
    nearest = [f"line {at}" for at in (asked @ stored.T).argmax(axis=1)]

    def found_with(width: int) -> int:
        opened = EdgeEngine(tmp_path, width).open(REF)
        firsts = [opened.search(one.tolist(), SparseVector((), ()), 1, EVERYTHING).dense[0] for one in asked]
        opened.close()
        return sum(first.chunk.text == text for first, text in zip(firsts, nearest, strict=True))

    assert found_with(10) < 25 < 45 < found_with(1000)
