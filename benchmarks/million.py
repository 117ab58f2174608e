"""A store of a million chunks: what building it takes, and how it searches.

    python -m benchmarks.million [--chunks 1000000] [--queries 200] [--folder FOLDER]

The chunks are synthetic (benchmarks/synthetic.py) and go through the builder that re-indexing uses, in a process of its
own. Then the collection is searched in process as the retrieval service does, without embedding the question, and its
dense stage is compared with exact search by the same engine: recall@10, for several widths of the graph search. It
takes 8 GB of disk, 13 GB of memory and 16 to 45 minutes at full size; --folder says where. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

import psutil
import qdrant_edge as qdrant

from benchmarks.search import FixedEmbedder, timed
from benchmarks.synthetic import DIMENSION, REF, Synthetic, collection_folder
from harness.figures import report
from harness.machine import describe_machine
from retrieval.embedding.embedder import Bm25Encoder, Dense
from retrieval.index.edge import EdgeEngine
from retrieval.index.port import DENSE, Scope
from retrieval.index.records import write_points
from retrieval.search.searcher import Searcher
from services.kit.settings import Platform

TOP = 10
WIDTHS = (None, 64, 128, 256)  # None is the engine's own
MB, GB = 2**20, 2**30


def make(platform: Platform, chunks: int, synthetic: Synthetic) -> dict[str, float]:
    """Build the collection; seconds, sizes on disk, and the most memory that the builder held."""
    platform.home.mkdir(parents=True, exist_ok=True)
    points, spec, folder = platform.home / "points.jsonl", platform.home / "spec.json", collection_folder(platform)
    started = time.perf_counter()
    write_points(points, synthetic.points(chunks))
    written = time.perf_counter()
    spec.write_text(json.dumps({"folder": str(folder), "points": str(points), "dimension": DIMENSION}))
    subprocess.run([sys.executable, "-m", "retrieval.index.collection_builder", str(spec)], check=True)
    built = time.perf_counter()
    figures = {
        "points_file_s": written - started,
        "points_file_gb": points.stat().st_size / GB,
        "build_s": built - written,
        "builder_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
        "disk_gb": sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file()) / GB,
    }
    points.unlink()
    return figures


def search(platform: Platform, vectors: dict[str, Dense]) -> dict[str, float]:
    started = time.perf_counter()
    index = EdgeEngine(platform.index_folder).open(REF)
    opened = time.perf_counter() - started
    searcher = Searcher(FixedEmbedder(vectors), Bm25Encoder())
    scope = Scope(REF.workspace_id)
    figures = timed([partial(searcher.search, [index], one, scope, TOP) for one in vectors])
    index.close()
    return {"open_s": opened, **figures, "memory_mb": psutil.Process().memory_info().rss / MB}


def recalls(platform: Platform, vectors: Sequence[Dense]) -> dict[str, dict[str, float]]:
    """Of the ten nearest chunks by exact search, the share that the graph finds; and what a dense search takes."""
    shard = qdrant.EdgeShard.load(str(collection_folder(platform)))
    exact, _ = nearest(shard, vectors, qdrant.SearchParams(exact=True))
    rows = {}
    for width in WIDTHS:
        found, times = nearest(shard, vectors, qdrant.SearchParams(hnsw_ef=width))
        recall = fmean(len(mine & best) / TOP for mine, best in zip(found, exact, strict=True))
        rows["engine's own" if width is None else str(width)] = {"recall_at_10": recall, **times}
    shard.close()
    return rows


def nearest(
    shard: qdrant.EdgeShard, vectors: Sequence[Dense], params: qdrant.SearchParams
) -> tuple[list[set[str]], dict[str, float]]:
    """The ids of each vector's ten nearest chunks, and the time of a search."""
    found: list[set[str]] = []

    def search_one(vector: Dense) -> None:
        query = qdrant.Query.Nearest(list(vector), DENSE)
        found.append({str(hit.id) for hit in shard.query(qdrant.QueryRequest(limit=TOP, query=query, params=params))})

    return found, timed([partial(search_one, vector) for vector in vectors])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    print(f"{describe_machine()}\n{options.chunks} chunks of {DIMENSION} numbers and BM25\n", flush=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        platform, synthetic = Platform(home=Path(folder) / "home"), Synthetic()
        figures = make(platform, options.chunks, synthetic)
        vectors = dict(synthetic.questions(options.queries))
        figures |= search(platform, vectors)
        rows = recalls(platform, list(vectors.values()))
    for name, figure in figures.items():
        print(f"  {name:16}{figure:>12.2f}")
    print(f"\n{'graph width':16}{'recall@10':>12}{'p50 ms':>10}{'p95 ms':>10}")
    for name, row in rows.items():
        print(f"{name:16}{row['recall_at_10']:>12.3f}{row['p50_ms']:>10.2f}{row['p95_ms']:>10.2f}")
    report("million", {"chunks": options.chunks, **figures, "dense": rows})


if __name__ == "__main__":
    main()
