"""How long a search takes, and how much of it is ours.

    python benchmarks/search.py [--chunks 5000] [--queries 200]

Four measurements on the same collection and questions, in one run: the engine alone (both stages, fused by it), our
search in process without and with embedding the question, and the retrieval service over its Unix socket, by one
client and by eight. The chunks are synthetic, of 60 to 90 words, with random vectors; questions are embedded by the
real model. The last line on standard output is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform as machine
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import quantiles
from typing import cast

import httpx
import qdrant_edge as qdrant

from retrieval.build import BuildSpec, build
from retrieval.chunking import chunk_id, embedding_text
from retrieval.embedding import Bm25Encoder, Dense, SentenceTransformerEmbedder
from retrieval.index.edge import EdgeEngine
from retrieval.index.port import DENSE, SPARSE, CollectionRef, Scope
from retrieval.model import Chunk, FileRef, Point
from retrieval.records import write_points
from retrieval.search import Searcher
from services.contracts.retrieval import SearchRequest
from services.database.engine import migrate, open_sessions
from services.database.tables import Collection, File, Store, StoreFile, Workspace
from services.kit.http import client
from services.kit.settings import Platform

REF = CollectionRef("ws", "vs", "col")
DIMENSION = 384
CHUNKS_A_FILE = 50
CLIENTS = 8
WORDS = ["brake", "pedal", "saddle", "chain", "tyre", *(f"part{number}" for number in range(2000))]


def synthetic_points(count: int, rng: random.Random) -> Iterator[Point]:
    bm25 = Bm25Encoder()
    for number in range(count):
        file, position = divmod(number, CHUNKS_A_FILE)
        source = FileRef(REF.workspace_id, REF.store_id, f"file-{file}", 1)
        text = " ".join(rng.choices(WORDS, k=rng.randint(60, 90)))
        one = Chunk(chunk_id(source, position), source, position, text, f"file-{file}.md", f"File {file}",
                    (f"File {file}", f"Part {position}"), None, 0, len(text))  # fmt: skip
        yield Point(one, random_vector(rng), bm25.document(embedding_text(one)))


def random_vector(rng: random.Random) -> Dense:
    numbers = [rng.gauss(0.0, 1.0) for _ in range(DIMENSION)]
    length = sum(number * number for number in numbers) ** 0.5
    return tuple(number / length for number in numbers)


def prepare_home(home: Path, chunks: int, rng: random.Random) -> Platform:
    """A platform's home with one store, indexed."""
    platform = Platform(home=home, service_token="benchmark")
    points = home / "points.jsonl"
    home.mkdir(parents=True, exist_ok=True)
    write_points(points, synthetic_points(chunks, rng))
    folder = EdgeEngine(platform.index_folder).folder(REF)
    build(BuildSpec(str(folder), str(points), DIMENSION))
    points.unlink()
    migrate(platform.database_url)
    with open_sessions(platform.database_url).begin() as session:
        session.add(Workspace(id=REF.workspace_id, name="Benchmark"))
        session.flush()
        session.add(Store(id=REF.store_id, workspace_id=REF.workspace_id, name="Docs", collection_id=REF.collection_id))
        session.flush()
        session.add(Collection(id=REF.collection_id, workspace_id=REF.workspace_id, store_id=REF.store_id, settings={},
                               embedder=platform.embedding_model, dimension=DIMENSION, state="live"))  # fmt: skip
        for number in range(-(-chunks // CHUNKS_A_FILE)):
            name = f"file-{number}"
            session.add(File(id=name, workspace_id=REF.workspace_id, filename=name, purpose="assistants", bytes=0,
                             sha256="", path=""))  # fmt: skip
            session.flush()
            session.add(StoreFile(store_id=REF.store_id, file_id=name, workspace_id=REF.workspace_id, revision=1,
                                  status="completed"))  # fmt: skip
    return platform


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


def timed(calls: Sequence[Callable[[], object]]) -> dict[str, float]:
    """Milliseconds at the median and the 95th percentile; the first tenth of the calls warms up."""
    spent = []
    for call in calls:
        started = time.perf_counter()
        call()
        spent.append(1000 * (time.perf_counter() - started))
    cuts = quantiles(spent[len(spent) // 10 :], n=20)
    return {"p50_ms": round(cuts[9], 2), "p95_ms": round(cuts[18], 2)}


def measure_in_process(
    platform: Platform, questions: list[str], embedder: SentenceTransformerEmbedder
) -> dict[str, dict[str, float]]:
    bm25, scope = Bm25Encoder(), Scope(REF.workspace_id)
    vectors = {question: embedder.embed_query(question) for question in questions}
    folder = str(EdgeEngine(platform.index_folder).folder(REF))
    shard = qdrant.EdgeShard.load(folder)
    engine = timed([lambda one=one: bare(shard, vectors[one], bm25, one) for one in questions])  # type: ignore[misc]
    shard.close()
    index = EdgeEngine(platform.index_folder).open(REF)
    fixed, real = Searcher(FixedEmbedder(vectors), bm25), Searcher(embedder, bm25)
    ours = timed([lambda one=one: fixed.search([index], one, scope, 4) for one in questions])  # type: ignore[misc]
    embedded = timed([lambda one=one: real.search([index], one, scope, 4) for one in questions])  # type: ignore[misc]
    index.close()
    return {"engine": engine, "search": ours, "search_with_embedding": embedded}


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
def service(platform: Platform) -> Iterator[None]:
    """The retrieval service as a process of its own."""
    environment = {**os.environ, "TANDEM_HOME": str(platform.home), "TANDEM_SERVICE_TOKEN": platform.service_token,
                   "HF_HUB_OFFLINE": "1"}  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "services.retrieval"], env=environment)
    try:
        wait_until_ready(platform, process)
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


def wait_until_ready(platform: Platform, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    with client(platform.retrieval_url, platform.service_token) as http:
        while time.monotonic() < deadline and process.poll() is None:
            with suppress(httpx.TransportError):  # not listening yet
                if http.get("/ready").status_code == 200:
                    return
            time.sleep(0.2)
    raise SystemExit("the retrieval service did not get ready within 60 s")


def measure_service(platform: Platform, questions: list[str]) -> dict[str, dict[str, float]]:
    bodies = [
        SearchRequest(workspace_id=REF.workspace_id, store_ids=[REF.store_id], query=question).model_dump_json()
        for question in questions
    ]
    with service(platform), client(platform.retrieval_url, platform.service_token) as http:

        def ask(body: str) -> None:
            http.post("/search", content=body, headers={"Content-Type": "application/json"}).raise_for_status()

        alone = timed([lambda body=body: ask(body) for body in bodies])  # type: ignore[misc]
        started = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as clients:
            list(clients.map(ask, bodies))
        rate = len(bodies) / (time.perf_counter() - started)
    return {"service": alone, f"service_{CLIENTS}_clients": {"requests_per_second": round(rate, 1)}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=5000)
    parser.add_argument("--queries", type=int, default=200)
    options = parser.parse_args()
    rng = random.Random(7)
    with tempfile.TemporaryDirectory() as folder:
        platform = prepare_home(Path(folder) / "home", options.chunks, rng)
        questions = [f"how is {' '.join(rng.choices(WORDS, k=5))} changed?" for _ in range(options.queries)]
        embedder = SentenceTransformerEmbedder(platform.embedding_model, threads=1)
        figures = measure_in_process(platform, questions, embedder)
        figures |= measure_service(platform, questions)
    cores = len(os.sched_getaffinity(0))
    print(f"{options.chunks} chunks, {options.queries} questions; {machine.machine()}, {cores} cores, "
          f"Python {machine.python_version()}")  # fmt: skip
    for name, figure in figures.items():
        print(f"  {name:24}", ", ".join(f"{key} {value}" for key, value in figure.items()))
    print(json.dumps({"benchmark": "search", "chunks": options.chunks, "cores": cores, **figures}))


if __name__ == "__main__":
    main()
