"""Tandem's search against the in-memory indexes of libraries one would use in its place, on SciFact.

    python -m benchmarks.rivals [--questions 300] [--vectors FOLDER] [--data FOLDER]

Every one gets the same 5,183 texts (title and text, one chunk each) and the same vectors, of texts and questions, from
the platform's own embedder; timed is the search alone, from question and vector to ten passages with their texts.
LlamaIndex's own index has no BM25 (that needs another package), so it is dense only; Haystack joins its embedding and
BM25 retrievers; qdrant-client's local mode searches Tandem's two vectors and fuses them. Where a library offers several
fusions, each is a row. --vectors keeps the texts' vectors for another run. The last line is JSON.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"  # read when haystack is imported

from haystack import Document
from haystack.components.joiners import DocumentJoiner
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore
from llama_index.core import VectorStoreIndex
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.schema import QueryBundle, TextNode
from qdrant_client import QdrantClient, models

from benchmarks.scifact import DATA, TOP, Scifact, as_chunk, embedded
from harness.figures import percentile, report
from harness.machine import describe_machine
from retrieval.embedding.embedder import Bm25Encoder, Dense
from retrieval.embedding.runtime import make_embedder
from retrieval.index.collection_builder import BuildSpec, build
from retrieval.index.edge import EdgeEngine
from retrieval.index.port import DENSE, SPARSE, CollectionRef, Scope
from retrieval.index.records import write_points
from retrieval.model import Point
from retrieval.search.searcher import Searcher

CANDIDATES = 30  # of each stage, in all that have stages; Tandem's default
REF = CollectionRef("ws", "vs", "col")
MODEL = "all-minilm-l6-v2"
Rank = Callable[[str, Dense], Sequence[str]]
"""A question and its vector to the ids of documents, best first."""


@dataclass(frozen=True)
class Corpus:
    """The same for everyone. Points are in the order of the documents."""

    points: Sequence[Point]
    dimension: int


class Known:
    """Hands out the questions' vectors, so that a search is timed without the model."""

    name = MODEL

    def __init__(self, vectors: Mapping[str, Dense]) -> None:
        self._vectors = vectors
        self.dimension = len(next(iter(vectors.values())))

    def embed(self, texts: Sequence[str]) -> list[Dense]:
        return [self._vectors[text] for text in texts]

    def embed_query(self, text: str) -> Dense:
        return self._vectors[text]

    def count_tokens(self, text: str) -> int:
        return len(text.split())


def tandem(corpus: Corpus, known: Known, folder: Path, stack: ExitStack) -> dict[str, Rank]:
    """As the retrieval service searches, with its default settings, on a collection from the builder."""
    write_points(folder / "points.jsonl", corpus.points)
    engine = EdgeEngine(folder)
    build(BuildSpec(str(engine.folder(REF)), str(folder / "points.jsonl"), corpus.dimension))
    index = stack.enter_context(closing(engine.open(REF)))
    searcher = Searcher(known, Bm25Encoder())

    def rank(question: str, _vector: Dense) -> list[str]:
        found = searcher.search([index], question, Scope(REF.workspace_id), TOP)
        return [passage.chunk.filename for passage in found.passages]

    return {"Tandem": rank}


def llama_index(corpus: Corpus) -> dict[str, Rank]:
    """VectorStoreIndex on its default SimpleVectorStore."""
    nodes = [
        TextNode(id_=point.chunk.id, text=point.chunk.text, embedding=list(point.dense),
                 metadata={"document": point.chunk.filename})
        for point in corpus.points
    ]  # fmt: skip
    index = VectorStoreIndex(nodes, embed_model=MockEmbedding(embed_dim=corpus.dimension))
    retriever = index.as_retriever(similarity_top_k=TOP)

    def rank(question: str, vector: Dense) -> list[str]:
        found = retriever.retrieve(QueryBundle(question, embedding=list(vector)))
        return [hit.node.metadata["document"] for hit in found]

    return {"LlamaIndex, dense": rank}


def haystack(corpus: Corpus) -> dict[str, Rank]:
    store = InMemoryDocumentStore(embedding_similarity_function="cosine")
    store.write_documents(
        [
            Document(id=point.chunk.filename, content=point.chunk.text, embedding=list(point.dense))
            for point in corpus.points
        ]
    )
    dense = InMemoryEmbeddingRetriever(store, top_k=CANDIDATES)
    words = InMemoryBM25Retriever(store, top_k=CANDIDATES)

    def joined(mode: str) -> Rank:
        joiner = DocumentJoiner(join_mode=mode, top_k=TOP)

        def rank(question: str, vector: Dense) -> list[str]:
            lists = [
                dense.run(query_embedding=list(vector))["documents"],
                words.run(query=question)["documents"],
            ]
            return [one.id for one in joiner.run(documents=lists)["documents"]]

        return rank

    return {
        "Haystack, RRF": joined("reciprocal_rank_fusion"),
        "Haystack, DBSF": joined("distribution_based_rank_fusion"),
    }


def qdrant_local(corpus: Corpus, stack: ExitStack) -> dict[str, Rank]:
    client = QdrantClient(":memory:")
    stack.callback(client.close)
    client.create_collection(
        "scifact",
        vectors_config={DENSE: models.VectorParams(size=corpus.dimension, distance=models.Distance.COSINE)},
        sparse_vectors_config={SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    client.upsert("scifact", [qdrant_point(point) for point in corpus.points])
    bm25 = Bm25Encoder()

    def fused(fusion: models.Fusion) -> Rank:
        def rank(question: str, vector: Dense) -> list[str]:
            sparse = bm25.query(question)
            terms = models.SparseVector(indices=list(sparse.indices), values=list(sparse.values))
            stages = [
                models.Prefetch(query=list(vector), using=DENSE, limit=CANDIDATES),
                models.Prefetch(query=terms, using=SPARSE, limit=CANDIDATES),
            ]
            query = models.FusionQuery(fusion=fusion)
            found = client.query_points("scifact", query=query, prefetch=stages, limit=TOP)
            return [str((hit.payload or {})["document"]) for hit in found.points]

        return rank

    return {
        "qdrant-client local, RRF": fused(models.Fusion.RRF),
        "qdrant-client local, DBSF": fused(models.Fusion.DBSF),
    }


def qdrant_point(point: Point) -> models.PointStruct:
    terms = models.SparseVector(indices=list(point.sparse.indices), values=list(point.sparse.values))
    payload = {"text": point.chunk.text, "document": point.chunk.filename}
    return models.PointStruct(id=point.chunk.id, vector={DENSE: list(point.dense), SPARSE: terms}, payload=payload)


def measure(rank: Rank, scifact: Scifact, questions: Sequence[str], known: Known) -> dict[str, float]:
    """nDCG@10, and the milliseconds of a question at the median and the 95th percentile."""
    spent, ranked = [], {}
    for query in [*questions[:5], *questions]:  # five to warm up
        text = scifact.questions[query]
        vector = known.embed_query(text)
        started = time.perf_counter()
        ranked[query] = rank(text, vector)
        spent.append(1000 * (time.perf_counter() - started))
    times = {"p50_ms": percentile(spent[5:], 0.5), "p95_ms": percentile(spent[5:], 0.95)}
    return {"ndcg_at_10": scifact.ndcg(ranked.__getitem__, questions), **times}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--documents", type=int, default=None, help="only the first so many, to try the command")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--vectors", type=Path, default=None)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    scifact = Scifact.read(options.data)
    questions = list(scifact.questions)[: options.questions]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        corpus, known = prepare(scifact, options.documents, options.vectors or Path(folder))
        rivals = tandem(corpus, known, Path(folder), stack)
        rivals |= llama_index(corpus) | haystack(corpus) | qdrant_local(corpus, stack)
        print(f"{describe_machine()}\n{len(corpus.points)} chunks, {len(questions)} questions\n")
        rows = {name: measure(rank, scifact, questions, known) for name, rank in rivals.items()}
    show(rows)
    report("rivals", {"chunks": len(corpus.points), "questions": len(questions), "rows": rows})


def prepare(scifact: Scifact, documents: int | None, kept: Path) -> tuple[Corpus, Known]:
    """Chunks with vectors, and the questions' vectors. `kept` is where converted model and vectors are put."""
    kept.mkdir(parents=True, exist_ok=True)
    embedder, bm25 = make_embedder(MODEL, "openvino", kept, threads=2), Bm25Encoder()
    rows = list(scifact.documents.items())[:documents]
    vectors = embedded(embedder, [text for _, text in rows], kept / "scifact.npy")
    points = [
        Point(as_chunk(number, name, text), vector, bm25.document(text))
        for number, ((name, text), vector) in enumerate(zip(rows, vectors, strict=True))
    ]
    known = Known({text: embedder.embed_query(text) for text in scifact.questions.values()})
    return Corpus(points, embedder.dimension), known


def show(rows: Mapping[str, Mapping[str, float]]) -> None:
    ours = rows["Tandem"]["p50_ms"]
    print(f"{'':28}{'nDCG@10':>9}{'p50 ms':>9}{'p95 ms':>9}{'times Tandem':>14}")
    for name, row in rows.items():
        times = f"{row['p50_ms'] / ours:.1f}"
        print(f"{name:28}{row['ndcg_at_10']:>9.4f}{row['p50_ms']:>9.2f}{row['p95_ms']:>9.2f}{times:>14}")


if __name__ == "__main__":
    main()
