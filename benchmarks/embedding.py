"""The embedder on each runtime: texts a second, a question's time, start, memory, and whether ranking suffers.

    python -m benchmarks.embedding [--texts 512] [--threads 2] [--ndcg] [--runtimes ...]

The runtimes are `openvino` and `torch` in bfloat16, as the platform has them; `torch-float32`, the reference of cosine
and nDCG; and `llama-index`, its BaseEmbedding over sentence-transformers with the defaults of both: float32, ten texts
a batch (llama-index-embeddings-huggingface does the same; it is not among our dependencies). Each runs in a process of
its own on abstracts of SciFact. --ndcg embeds all 5,183 and ranks them for the 300 test questions, by cosine alone and
as Tandem fuses. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from benchmarks.scifact import DATA, Scifact, as_chunk
from harness.figures import percentile, report
from harness.machine import describe_machine
from retrieval.embedding.embedder import Bm25Encoder, Dense, Embedder, SentenceTransformerEmbedder, model_location
from retrieval.embedding.openvino_cache import converted
from retrieval.embedding.runtime import make_embedder
from retrieval.index.collection_builder import BuildSpec, build
from retrieval.index.edge import EdgeEngine
from retrieval.index.port import Candidates, CollectionRef, Scope
from retrieval.index.records import write_points
from retrieval.model import Point
from retrieval.search.fusion import FusionSettings, fuse

MODEL = "all-minilm-l6-v2"
RUNTIMES = ("openvino", "torch", "torch-float32", "llama-index")
REF = CollectionRef("ws", "vs", "col")
CANDIDATES = 30
QUESTIONS = 100
DIGITS = {"least_cosine": 5, "ndcg_dense": 4, "ndcg_hybrid": 4}


class LlamaIndexDefault:
    """An `Embedder` that does what LlamaIndex's Hugging Face embedding does by default."""

    def __init__(self, threads: int) -> None:
        import torch
        from llama_index.core.embeddings import BaseEmbedding
        from sentence_transformers import SentenceTransformer

        class SentenceTransformerEmbedding(BaseEmbedding):  # type: ignore[misc]
            def _get_query_embedding(self, query: str) -> list[float]:
                return self._get_text_embeddings([query])[0]

            async def _aget_query_embedding(self, query: str) -> list[float]:
                return self._get_query_embedding(query)

            def _get_text_embedding(self, text: str) -> list[float]:
                return self._get_text_embeddings([text])[0]

            def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
                found: list[list[float]] = model.encode(
                    texts, batch_size=self.embed_batch_size, normalize_embeddings=True, show_progress_bar=False
                ).tolist()
                return found

        torch.set_num_threads(threads)
        model = SentenceTransformer(model_location(MODEL), device="cpu")
        self.name, self.dimension = MODEL, int(model.get_embedding_dimension())
        self._model, self._embedding = model, SentenceTransformerEmbedding()

    def embed(self, texts: Sequence[str]) -> list[Dense]:
        return [tuple(vector) for vector in self._embedding.get_text_embedding_batch(list(texts))]

    def embed_query(self, text: str) -> Dense:
        return tuple(self._embedding.get_query_embedding(text))

    def count_tokens(self, text: str) -> int:
        return len(self._model.tokenizer.tokenize(text))


def make(runtime: str, cache: Path, threads: int) -> Embedder:
    if runtime == "llama-index":
        return LlamaIndexDefault(threads)
    if runtime == "torch-float32":
        return SentenceTransformerEmbedder(MODEL, dtype="float32", threads=threads)
    return make_embedder(MODEL, "openvino" if runtime == "openvino" else "torch", cache, threads=threads)


def measure(runtime: str, cache: Path, options: argparse.Namespace) -> dict[str, float]:
    """One runtime's figures; its first vectors are left in the cache folder, to be compared."""
    scifact = Scifact.read(options.data)
    if runtime == "openvino":
        converted(MODEL, cache)  # which is a part of the first start alone
    started = time.perf_counter()
    embedder = make(runtime, cache, options.threads)
    question = next(iter(scifact.questions.values()))
    embedder.embed_query(question)
    figures = {"start_s": time.perf_counter() - started}
    texts = list(scifact.documents.values())[: options.texts]
    embedder.embed(texts[:32])
    started = time.perf_counter()
    vectors = embedder.embed(texts)
    figures["texts_per_s"] = len(texts) / (time.perf_counter() - started)
    spent = []
    for one in list(scifact.questions.values())[:QUESTIONS]:
        started = time.perf_counter()
        embedder.embed_query(one)
        spent.append(1000 * (time.perf_counter() - started))
    figures |= {"query_p50_ms": percentile(spent, 0.5), "query_p95_ms": percentile(spent, 0.95)}
    figures["memory_mb"] = psutil.Process().memory_info().rss / 2**20
    (cache / f"{runtime}.json").write_text(json.dumps(vectors[:64]), encoding="utf-8")
    return figures | (ndcg(embedder, scifact, cache / runtime) if options.ndcg else {})


def ndcg(embedder: Embedder, scifact: Scifact, folder: Path) -> dict[str, float]:
    """By cosine alone, and as Tandem's default fuses cosine and BM25."""
    bm25, engine = Bm25Encoder(), EdgeEngine(folder)
    folder.mkdir()
    vectors = embedder.embed(list(scifact.documents.values()))
    points = (
        Point(as_chunk(number, name, text), vector, bm25.document(text))
        for number, ((name, text), vector) in enumerate(zip(scifact.documents.items(), vectors, strict=True))
    )
    write_points(folder / "points.jsonl", points)
    build(BuildSpec(str(engine.folder(REF)), str(folder / "points.jsonl"), embedder.dimension))
    index = engine.open(REF)

    def found(query: str) -> Candidates:
        text = scifact.questions[query]
        return index.search(embedder.embed_query(text), bm25.query(text), CANDIDATES, Scope(REF.workspace_id))

    candidates = {query: found(query) for query in scifact.questions}
    index.close()
    dense = {query: [hit.chunk.filename for hit in one.dense] for query, one in candidates.items()}
    fused = {
        query: [passage.chunk.filename for passage in fuse(one, FusionSettings())] for query, one in candidates.items()
    }
    return {
        "ndcg_dense": scifact.ndcg(dense.__getitem__, scifact.questions),
        "ndcg_hybrid": scifact.ndcg(fused.__getitem__, scifact.questions),
    }


def in_a_process(runtime: str, cache: Path, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.embedding", "--only", runtime, "--cache", str(cache)]
    command += ["--texts", str(options.texts), "--threads", str(options.threads), "--data", str(options.data)]
    done = subprocess.run([*command, *(["--ndcg"] if options.ndcg else [])], stdout=subprocess.PIPE, check=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def least_cosine(cache: Path, runtime: str) -> float:
    """The least cosine to float32 in torch, over the vectors that both left."""
    mine, reference = (vectors_of(cache, name) for name in (runtime, "torch-float32"))
    return min(sum(a * b for a, b in zip(one, other, strict=True)) for one, other in zip(mine, reference, strict=True))


def vectors_of(cache: Path, runtime: str) -> list[Dense]:
    return [tuple(vector) for vector in json.loads((cache / f"{runtime}.json").read_text(encoding="utf-8"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runtimes", nargs="+", choices=RUNTIMES, default=RUNTIMES)
    parser.add_argument("--ndcg", action="store_true")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--only", choices=RUNTIMES, help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(options.only, options.cache, options)))
        return
    print(f"{describe_machine()}\n{options.texts} abstracts, {options.threads} threads, {MODEL}\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        rows = {runtime: in_a_process(runtime, Path(folder), options) for runtime in options.runtimes}
        for runtime, row in rows.items():
            if "torch-float32" in rows:
                row["least_cosine"] = least_cosine(Path(folder), runtime)
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    print(f"{'':14}" + "".join(f"{name:>14}" for name in names))
    for runtime, row in rows.items():
        print(
            f"{runtime:14}"
            + "".join(f"{row[name]:>14.{5 if 'cos' in name else 4 if 'ndcg' in name else 2}f}" for name in names)
        )
    report("embedding", {"texts": options.texts, "threads": options.threads, "rows": rows})


if __name__ == "__main__":
    main()
