"""How long a search takes, and how much of it is ours.

    python -m benchmarks.search [--chunks 5000 100000] [--queries 300] [--runtimes openvino torch]

For each size: the engine alone (both stages, fused by it), our search in process without embedding the question, and
the retrieval service over its Unix socket, asked by one client and by eight, with the embedder on each runtime. The
chunks are synthetic (benchmarks/synthetic.py); questions are embedded by the real model. The last line is JSON.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import cast

import httpx
import qdrant_edge as qdrant

from benchmarks.synthetic import DIMENSION, REF, Synthetic, build_collection, collection_folder, fill_database
from harness.figures import percentile, report
from harness.machine import describe_machine
from retrieval.embedding.embedder import Bm25Encoder, Dense
from retrieval.index.edge import EdgeEngine
from retrieval.index.port import DENSE, SPARSE, Scope
from retrieval.search.searcher import Searcher
from services.contracts.retrieval import SearchRequest
from services.kit.http import client
from services.kit.settings import Platform

CLIENTS = 8
START_SECONDS = 300.0
Figures = dict[str, float]


class FixedEmbedder:
    """Hands out vectors made before, to measure the search without the model."""

    name, dimension = "fixed", DIMENSION

    def __init__(self, vectors: dict[str, Dense]) -> None:
        self.vectors = vectors

    def embed(self, texts: Sequence[str]) -> list[Dense]:
        return [self.vectors[text] for text in texts]

    def embed_query(self, text: str) -> Dense:
        return self.vectors[text]

    def count_tokens(self, text: str) -> int:
        return len(text.split())


def timed(calls: Sequence[Callable[[], object]]) -> Figures:
    """Milliseconds at the median and the 95th percentile; the first tenth of the calls warms up."""
    spent = []
    for call in calls:
        started = time.perf_counter()
        call()
        spent.append(1000 * (time.perf_counter() - started))
    warm = spent[len(spent) // 10 :]
    return {"p50_ms": round(percentile(warm, 0.5), 2), "p95_ms": round(percentile(warm, 0.95), 2)}


def measure_in_process(platform: Platform, vectors: dict[str, Dense]) -> dict[str, Figures]:
    bm25, scope = Bm25Encoder(), Scope(REF.workspace_id)
    shard = qdrant.EdgeShard.load(str(collection_folder(platform)))
    engine = timed([partial(bare, shard, vectors[one], bm25, one) for one in vectors])
    shard.close()
    index = EdgeEngine(platform.index_folder).open(REF)
    fixed = Searcher(FixedEmbedder(vectors), bm25)
    ours = timed([partial(fixed.search, [index], one, scope, 4) for one in vectors])
    index.close()
    return {"engine alone": engine, "search, in process": ours}


def bare(shard: qdrant.EdgeShard, vector: Dense, bm25: Bm25Encoder, question: str) -> object:
    """The least that a hybrid search can cost: both stages and the fusion inside the engine."""
    sparse = bm25.query(question)
    terms = qdrant.SparseVector(list(sparse.indices), list(sparse.values))
    stages = [
        qdrant.Prefetch(limit=30, query=qdrant.Query.Nearest(list(vector), DENSE)),
        qdrant.Prefetch(limit=30, query=qdrant.Query.Nearest(terms, SPARSE)),
    ]
    fusion = cast(qdrant.Fusion, qdrant.Fusion.Rrf(k=10))  # a subclass, which the package's stubs leave out
    return shard.query(qdrant.QueryRequest(limit=4, prefetches=stages, query=fusion, with_payload=True))


@contextmanager
def service(platform: Platform, runtime: str) -> Iterator[None]:
    """The retrieval service as a process of its own, without the reading of every vector after its start."""
    environment = {**os.environ, "TANDEM_HOME": str(platform.home), "TANDEM_SERVICE_TOKEN": platform.service_token,
                   "TANDEM_EMBEDDING_RUNTIME": runtime, "HF_HUB_OFFLINE": "1",
                   "TANDEM_RETRIEVAL_CHECK_AT_START": "false"}  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "services.retrieval"], env=environment)
    try:
        wait_until_ready(platform, process)
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def wait_until_ready(platform: Platform, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    with client(platform.retrieval_url, platform.service_token) as http:
        while time.monotonic() < deadline and process.poll() is None:
            with suppress(httpx.TransportError):  # not listening yet
                if http.get("/ready").status_code == 200:
                    return
            time.sleep(0.2)
    raise SystemExit(f"the retrieval service did not get ready within {START_SECONDS:.0f} s")


def measure_service(platform: Platform, questions: Sequence[str], runtime: str) -> dict[str, Figures]:
    bodies = [
        SearchRequest(workspace_id=REF.workspace_id, store_ids=[REF.store_id], query=question).model_dump_json()
        for question in questions
    ]
    with service(platform, runtime), client(platform.retrieval_url, platform.service_token) as http:

        def ask(body: str) -> None:
            http.post("/search", content=body, headers={"Content-Type": "application/json"}).raise_for_status()

        alone = timed([partial(ask, body) for body in bodies])
        started = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as clients:
            list(clients.map(ask, bodies))
        rate = len(bodies) / (time.perf_counter() - started)
    return {f"service, {runtime}": {**alone, f"per_s_at_{CLIENTS}": round(rate, 1)}}


def measure(chunks: int, queries: int, runtimes: Sequence[str]) -> dict[str, Figures]:
    synthetic = Synthetic()
    with tempfile.TemporaryDirectory() as folder:
        platform = Platform(home=Path(folder) / "home", service_token="benchmark")
        build_collection(platform, chunks, synthetic)
        fill_database(platform, chunks)
        vectors = dict(synthetic.questions(queries))
        figures = measure_in_process(platform, vectors)
        for runtime in runtimes:
            figures |= measure_service(platform, list(vectors), runtime)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, nargs="+", default=[5000, 100_000])
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--runtimes", nargs="+", choices=("openvino", "torch"), default=["openvino", "torch"])
    options = parser.parse_args()
    print(f"{describe_machine()}\n{options.queries} questions, one client; times are p50 / p95\n", flush=True)
    print(f"{'chunks':>8}  {'':24}{'p50 ms':>8}{'p95 ms':>8}{f'per s at {CLIENTS}':>12}")
    rows = {}
    for chunks in options.chunks:
        rows[str(chunks)] = measure(chunks, options.queries, options.runtimes)
        for name, figure in rows[str(chunks)].items():
            rate = figure.get(f"per_s_at_{CLIENTS}", "")
            print(f"{chunks:>8}  {name:24}{figure['p50_ms']:>8}{figure['p95_ms']:>8}{rate:>12}", flush=True)
    report("search", {"queries": options.queries, "rows": rows})


if __name__ == "__main__":
    main()
