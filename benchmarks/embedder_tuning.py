"""What tuning the embedder brings: nDCG@10 before and after, dense alone and in the hybrid, on questions kept out.

    python -m benchmarks.embedder_tuning [--set scifact|medquad] [--pairs given|generated] [--steps 300]

`given` pairs are SciFact's training claims with their abstracts, and MedQuAD's questions on documents that no test
question is about; `generated` ones are made from titles and sentences of the documents alone. The gate judges on pairs
kept out of training; the test questions are asked once before and once after.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy

from harness.figures import report
from harness.jsonl import read_jsonl
from harness.places import SHARED_DATA
from retrieval.documents.chunking import embedding_text
from retrieval.embedding.embedder import Bm25Encoder, SentenceTransformerEmbedder, model_location
from retrieval.index.port import Candidates, Scored
from retrieval.metrics import ndcg_at_k
from retrieval.model import Chunk, FileRef, SparseVector
from retrieval.search.fusion import FusionSettings, fuse
from training.config import EmbedderSettings
from training.embedders.gate import Encode, compare
from training.embedders.pairs import Pair, generated_pairs
from training.embedders.recipe import EmbedderRequest, remembering, train_embedder

MODEL = "all-minilm-l6-v2"
CANDIDATES = 30
Relevant = Mapping[str, float]


@dataclass(frozen=True)
class Task:
    """Whole documents as passages, pairs to train with, and test questions with what answers them."""

    chunks: Sequence[Chunk]
    pairs: Sequence[Pair]
    questions: Sequence[tuple[str, Relevant]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=("scifact", "medquad"), default="scifact")
    parser.add_argument("--pairs", choices=("given", "generated"), default="given")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--max-length", type=int, default=192, help="tokens of a passage that are trained on")
    parser.add_argument("--learning-rate", type=float, default=2e-5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    task = {"scifact": scifact, "medquad": medquad}[options.set]()
    pairs = task.pairs if options.pairs == "given" else generated(task)
    settings = EmbedderSettings(
        max_steps=options.steps,
        per_device_train_batch_size=options.batch,
        max_length=options.max_length,
        learning_rate=options.learning_rate,
        threads=options.threads,
    )
    print(f"{options.set}: {len(task.chunks)} documents, {len(pairs)} pairs, {len(task.questions)} test questions")
    with tempfile.TemporaryDirectory() as folder:
        request = EmbedderRequest(
            base=model_location(MODEL),
            pairs=pairs,
            passages=[(chunk.id, embedding_text(chunk)) for chunk in task.chunks],
            target=Path(folder) / "tuned",
            work=Path(folder) / "work",
            settings=settings,
        )
        result = train_embedder(request, load, lambda _stage, _share: None, lambda: False)
        before, after = (measured(task, load(weights)) for weights in (request.base, str(result.folder)))
    print(f"gate, on kept-out pairs: {result.report.summary}")
    rate = result.tuned.seconds / max(1, result.tuned.steps)
    print(f"{result.tuned.steps} steps of {settings.per_device_train_batch_size} pairs, {rate:.2f} s a step")
    figures: dict[str, float] = {"steps": result.tuned.steps, "seconds_per_step": round(rate, 3)}
    for stage in ("dense", "hybrid"):
        found = compare(before[stage], after[stage], seed=1)
        figures |= {f"{stage}_before": round(found.before, 4), f"{stage}_after": round(found.after, 4)}
        print(f"test, {stage:<7}nDCG@10 {found.before:.3f} before, {found.after:.3f} after ", end="")
        print(f"(difference {found.low:+.3f} to {found.high:+.3f})")
    report("embedder_tuning", {"set": options.set, "pairs": options.pairs, "passed": result.report.passed, **figures})


@cache
def load(weights: str) -> Encode:
    """Weights whose vectors are made once, though gate and test ask for the same documents."""
    return remembering(SentenceTransformerEmbedder(weights, threads=1).embed)


def measured(task: Task, encode: Encode) -> dict[str, list[float]]:
    """nDCG@10 of each test question, dense alone and in the hybrid of the default settings."""
    bm25 = Bm25Encoder()
    texts = [embedding_text(chunk) for chunk in task.chunks]
    documents = numpy.asarray(encode(texts), dtype=numpy.float32)
    queries = numpy.asarray(encode([text for text, _ in task.questions]), dtype=numpy.float32)
    sparse = Sparse([bm25.document(text) for text in texts])
    found: dict[str, list[float]] = {"dense": [], "hybrid": []}
    for (text, relevant), query in zip(task.questions, queries, strict=True):
        stages = Candidates(_best(task, documents @ query), _best(task, sparse.scores(bm25.query(text))))
        hybrid = [passage.chunk.id for passage in fuse(stages, FusionSettings())]
        found["dense"].append(ndcg_at_k([scored.chunk.id for scored in stages.dense], relevant, 10))
        found["hybrid"].append(ndcg_at_k(hybrid, relevant, 10))
    return found


class Sparse:
    """BM25 as the index computes it: the documents' weights times the inverse document frequency."""

    def __init__(self, documents: Sequence[SparseVector]) -> None:
        self._count = len(documents)
        self._postings: dict[int, list[tuple[int, float]]] = {}
        for place, vector in enumerate(documents):
            for token, weight in zip(vector.indices, vector.values, strict=True):
                self._postings.setdefault(token, []).append((place, weight))

    def scores(self, query: SparseVector) -> numpy.ndarray:
        found = numpy.zeros(self._count, dtype=numpy.float32)
        for token in query.indices:
            postings = self._postings.get(token, [])
            rarity = numpy.log(1 + (self._count - len(postings) + 0.5) / (len(postings) + 0.5))
            for place, weight in postings:
                found[place] += weight * rarity
        return found


def _best(task: Task, scores: numpy.ndarray) -> tuple[Scored, ...]:
    order = numpy.argsort(-scores)[:CANDIDATES]
    return tuple(Scored(task.chunks[place], float(scores[place])) for place in order if scores[place] > 0)


def scifact() -> Task:
    folder = SHARED_DATA / "scifact"
    chunks = [_chunk(row["_id"], row["title"], row["text"]) for row in read_jsonl(folder / "corpus.jsonl")]
    texts = {row["_id"]: row["text"] for row in read_jsonl(folder / "queries.jsonl")}
    described = {chunk.id: embedding_text(chunk) for chunk in chunks}
    pairs = [
        Pair(texts[query], described[document], document, document, "feedback")
        for query, relevant in _judged(folder / "qrels" / "train.tsv").items()
        for document in relevant
    ]
    test = _judged(folder / "qrels" / "test.tsv")
    return Task(chunks, pairs, [(texts[query], relevant) for query, relevant in test.items()])


def medquad() -> Task:
    folder = SHARED_DATA / "medquad"
    chunks = [_chunk(row["_id"], row["title"], row["text"]) for row in read_jsonl(folder / "documents.jsonl")]
    described = {chunk.id: embedding_text(chunk) for chunk in chunks}
    tested = read_jsonl(folder / "eval_questions.jsonl")
    asked_about = {document for row in tested for document in row["gold_doc_ids"]}
    pairs = [
        Pair(row["question"], described[row["doc_id"]], row["doc_id"], row["doc_id"], "feedback")
        for row in read_jsonl(folder / "qa.jsonl")
        if row["doc_id"] in described and row["doc_id"] not in asked_about
    ]
    forms = [
        (row[form], dict.fromkeys(row["gold_doc_ids"], 1.0))
        for form in ("question", "question_synonym")
        for row in tested
        if row[form]
    ]
    return Task(chunks, pairs, forms)


def generated(task: Task) -> list[Pair]:
    """Pairs made from the documents alone, but for those that test questions are about."""
    tested = {document for _, relevant in task.questions for document in relevant}
    return generated_pairs([chunk for chunk in task.chunks if chunk.id not in tested], embedding_text, random.Random(1))


def _judged(path: Path) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for line in path.read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        if float(grade) > 0:
            found.setdefault(query, {})[document] = float(grade)
    return found


def _chunk(name: str, title: str, text: str) -> Chunk:
    return Chunk(name, FileRef("shared", "shared", name, 1), 0, text, name, title, (), None, 0, len(text))


if __name__ == "__main__":
    main()
