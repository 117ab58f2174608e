"""Loaded text into a store: chunks a second of the worker's own code, against the embedder alone and LlamaIndex's.

    python -m benchmarks.ingest [--chunks 1000] [--threads 2]

SciFact's abstracts, forty a Markdown file, go through `Indexing.index_file`, as a worker runs it: read, chunk, embed,
send to a retrieval service in a process of its own, record. The bare loop embeds the very same texts with the same
embedder and does nothing else. LlamaIndex embeds them with its default batch of ten over sentence-transformers in
float32 (see benchmarks/embedding.py). The three take turns, file by file, each warmed up on one file before; the last
line is JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.embedding import MODEL, LlamaIndexDefault
from benchmarks.scifact import DATA, Scifact
from benchmarks.search import service
from harness.figures import report
from harness.machine import describe_machine
from retrieval.documents.chunking import ChunkingSettings, chunk, embedding_text
from retrieval.documents.loading import load
from retrieval.documents.parser import Parser
from retrieval.embedding.embedder import Embedder
from retrieval.embedding.runtime import make_embedder
from retrieval.model import FileRef
from services.database.engine import Sessions, migrate, open_sessions
from services.database.tables import File, Job, Store, StoreFile, Workspace
from services.domain.jobs import Jobs, new_job
from services.kit.http import client
from services.kit.settings import Platform
from services.worker.heartbeat import Heartbeat
from services.worker.indexing.indexing import Indexing
from services.worker.retrieval_client import RetrievalWriter
from services.worker.settings import WorkerSettings

ABSTRACTS_A_FILE = 40
JOB_SECONDS = 3600.0


@dataclass
class Side:
    """One of the three: what it does with a file, and how long it took in all."""

    work: Callable[[int], object]
    seconds: float = 0.0

    def do(self, file: int) -> None:
        started = time.perf_counter()
        self.work(file)
        self.seconds += time.perf_counter() - started


def files(scifact: Scifact) -> list[bytes]:
    texts = ["# " + text for text in scifact.documents.values()]
    groups = [texts[start : start + ABSTRACTS_A_FILE] for start in range(0, len(texts), ABSTRACTS_A_FILE)]
    return ["\n\n".join(group).encode() for group in groups]


def chunk_texts(content: bytes, embedder: Embedder) -> list[str]:
    """What the worker will embed for a file."""
    chunks = chunk(load(content, "x.md"), FileRef("ws", "vs", "x", 1), ChunkingSettings(), embedder.count_tokens)
    return [embedding_text(one) for one in chunks]


def make_jobs(sessions: Sessions, contents: Sequence[bytes], folder: Path) -> list[Job]:
    """A workspace with a store, and a queued job for each file, as the gateway leaves them."""
    jobs = []
    with sessions.begin() as session:
        session.add(Workspace(id="ws", name="Benchmark"))
        session.flush()
        session.add(Store(id="vs", workspace_id="ws", name="Docs"))
        session.flush()
        for number, content in enumerate(contents):
            name, path = f"file-{number}", folder / f"{number}.md"
            path.write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            session.add(File(id=name, workspace_id="ws", filename=f"{name}.md", purpose="assistants",
                             bytes=len(content), sha256=digest, path=str(path)))  # fmt: skip
            session.flush()
            session.add(StoreFile(store_id="vs", file_id=name, workspace_id="ws", revision=1, status="in_progress"))
            request = {"store_id": "vs", "file_id": name, "revision": 1}
            jobs.append(new_job("ws", "index_file", request, JOB_SECONDS))
        session.add_all(jobs)
    return jobs


def worker(platform: Platform, sessions: Sessions, embedder: Embedder, jobs: Sequence[Job]) -> Callable[[int], object]:
    """What a worker's task does with the job of a file."""
    table = Jobs(sessions)
    writer = RetrievalWriter(client(platform.retrieval_url, platform.service_token, timeout=120.0))
    parser = Parser()
    parser.warm()
    indexing = Indexing(sessions, writer, embedder, parser, WorkerSettings())

    def index(file: int) -> None:
        job = table.claim(jobs[file].id)
        assert job is not None
        with Heartbeat(table, job.id) as heartbeat:
            result = indexing.index_file(job, heartbeat)
        table.finish(job.id, "succeeded", None, result)

    return index


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    contents = files(Scifact.read(options.data))
    with tempfile.TemporaryDirectory() as folder:
        platform = Platform(home=Path(folder) / "home", service_token="benchmark")
        embedder = make_embedder(MODEL, "openvino", platform.converted_folder, threads=options.threads)
        rival = LlamaIndexDefault(options.threads)
        texts: list[list[str]] = []
        while sum(map(len, texts)) < options.chunks:
            texts.append(chunk_texts(contents[len(texts)], embedder))
        migrate(platform.database_url)
        sessions = open_sessions(platform.database_url)
        jobs = make_jobs(sessions, contents[: len(texts)], Path(folder))
        with service(platform, "openvino"):
            sides = {
                "worker, OpenVINO": Side(worker(platform, sessions, embedder, jobs)),
                "bare loop, OpenVINO": Side(lambda file: embedder.embed(texts[file])),
                "LlamaIndex's default": Side(lambda file: rival.embed(texts[file])),
            }
            for side in sides.values():
                side.work(0)
            for file in range(1, len(texts)):
                for side in sides.values():
                    side.do(file)
    show(sides, sum(map(len, texts[1:])), options.threads)


def show(sides: dict[str, Side], chunks: int, threads: int) -> None:
    rates = {name: chunks / side.seconds for name, side in sides.items()}
    print(f"{describe_machine()}\n{chunks} chunks of SciFact abstracts, {threads} threads\n")
    ours = rates["worker, OpenVINO"]
    print(f"{'':24}{'chunks/s':>10}{'worker over it':>16}")
    for name, rate in rates.items():
        print(f"{name:24}{rate:>10.1f}{ours / rate:>16.2f}")
    report("ingest", {"chunks": chunks, "threads": threads, "chunks_per_s": rates})


if __name__ == "__main__":
    main()
