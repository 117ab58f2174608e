"""How much the conversation before a question helps to find its passages: recall@5 on the mtrag_un conversations.

    python -m benchmarks.follow_up [--data ../shared/data/mtrag_un] [--cache FOLDER]

Only title and text are searched, by the platform's chunking, embedder, BM25 and fusion, without an engine. Each way of
using the history makes weighted texts of a question, whose vectors are added; the last turn alone is the yardstick,
with a paired bootstrap interval (scipy, 9999 resamples). Questions are split in half by a hash of their conversation:
the best way on the first half is chosen, and reported on the other. The last column is a guard: each question with the
history of a conversation about something else, where history can only harm. Embeddings are kept in FOLDER, so that a
second run is quick. The last line on standard output is JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy
from scipy.sparse import csr_array
from scipy.stats import bootstrap

from harness.figures import report
from harness.jsonl import read_jsonl
from harness.places import SHARED_DATA
from retrieval.documents.chunking import ChunkingSettings, chunk, embedding_text
from retrieval.embedding.embedder import Bm25Encoder, Dense, Embedder, SentenceTransformerEmbedder
from retrieval.index.port import Candidates, CollectionRef, Scored
from retrieval.metrics import recall_at_k
from retrieval.model import Block, Document, FileRef, Point, SparseVector
from retrieval.search.follow_up import QUESTION_WEIGHT, context, standalone_query
from retrieval.search.fusion import FusionSettings, fuse

CONVERSATIONS = SHARED_DATA / "mtrag_un"
REF = CollectionRef("ws", "vs", "col")
CANDIDATES, TOP = 30, 5
ANSWER_WORDS = 64
ALONE, RESOLVED, IN_USE = PRESENT = ("last turn alone", "turn before, one text, where it leans", "in use")
Weighted = list[tuple[str, float]]


@dataclass(frozen=True)
class Task:
    """A question with its conversation: the user's earlier turns, oldest first, and the last answer to them."""

    conversation: str
    collection: str
    question: str
    turns: tuple[str, ...]
    answer: str
    gold: frozenset[str]

    @property
    def is_chosen_on(self) -> bool:
        return zlib.crc32(self.conversation.encode()) % 2 == 0


Way = Callable[[Task], Weighted]


def in_use(task: Task) -> Weighted:
    """What `retrieval.search.follow_up.question_vectors` does."""
    before = context(task.turns)
    return [(task.question, QUESTION_WEIGHT), (before, 1.0 - QUESTION_WEIGHT)] if before else alone(task)


def alone(task: Task) -> Weighted:
    return [(task.question, 1.0)]


def resolved(task: Task) -> Weighted:
    """One text, the turn before it included only where the question leans on it."""
    return [(standalone_query(task.question, task.turns), 1.0)]


def after(turns: int, with_answer: bool = False) -> Way:
    """The question with so many turns before it, and the last answer, as one text."""
    return lambda task: [(f"{said_before(task, turns, with_answer)} {task.question}".strip(), 1.0)]


def beside(turns: int, weight: float, with_answer: bool = False) -> Way:
    """The question at `weight`, what stood before it at the rest."""

    def way(task: Task) -> Weighted:
        before = said_before(task, turns, with_answer)
        return [(task.question, weight), (before, 1.0 - weight)] if before else alone(task)

    return way


def beside_its_context(turns: int, weight: float) -> Way:
    """The question at `weight`, the same with its turns before it at the rest."""

    def way(task: Task) -> Weighted:
        before = said_before(task, turns, False)
        return [(task.question, weight), (f"{before} {task.question}", 1.0 - weight)] if before else alone(task)

    return way


def said_before(task: Task, turns: int, with_answer: bool) -> str:
    answer = " ".join(task.answer.split()[:ANSWER_WORDS]) if with_answer else ""
    return " ".join([*task.turns[-turns:], answer]).strip()


def ways() -> dict[str, Way]:
    found: dict[str, Way] = {ALONE: alone, RESOLVED: resolved, IN_USE: in_use}
    for turns in (1, 2, 3):
        found[f"{turns} turns before, one text"] = after(turns)
    found["1 turn and answer before, one text"] = after(1, with_answer=True)
    for turns in (1, 3):
        for weight in (0.5, 0.6, 0.7):
            found[f"{turns} turns beside, question at {weight}"] = beside(turns, weight)
            found[f"{turns} turns and answer beside, question at {weight}"] = beside(turns, weight, with_answer=True)
            found[f"{turns} turns before, beside question at {weight}"] = beside_its_context(turns, weight)
    return found


class Cached:
    """Vectors of texts, kept in a file."""

    def __init__(self, embedder: Embedder, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._embedder, self._path = embedder, folder / f"{hashlib.sha256(embedder.name.encode()).hexdigest()[:12]}.npz"
        self._known: dict[str, Any] = dict(numpy.load(self._path)) if self._path.exists() else {}

    def embed(self, texts: Sequence[str]) -> None:
        """Make what is not known yet."""
        missing = sorted({text for text in texts if _key(text) not in self._known}, key=len)
        for start in range(0, len(missing), 256):
            batch = missing[start : start + 256]
            vectors = numpy.asarray(self._embedder.embed(batch), dtype=numpy.float32)
            self._known |= dict(zip(map(_key, batch), vectors, strict=True))
            numpy.savez(self._path, **self._known)

    def mixed(self, weighted: Weighted) -> Dense:
        vector = numpy.sum([weight * self._known[_key(text)] for text, weight in weighted], axis=0)
        return tuple((vector / numpy.linalg.norm(vector)).tolist())


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def mixed_terms(weighted: Weighted, bm25: Bm25Encoder) -> SparseVector:
    terms: dict[int, float] = {}
    for text, weight in weighted:
        vector = bm25.query(text)
        for index, value in zip(vector.indices, vector.values, strict=True):
            terms[index] = terms.get(index, 0.0) + weight * value
    return SparseVector(tuple(terms), tuple(terms.values()))


def read_tasks(folder: Path) -> list[Task]:
    """The questions that have gold passages."""
    return [
        Task(
            conversation=row["id"].split("<::>")[0],
            collection=row["collection"],
            question=row["question"],
            turns=tuple(one["content"].strip() for one in row["history"] if one["role"] == "user"),
            answer=next((one["content"] for one in reversed(row["history"]) if one["role"] == "assistant"), ""),
            gold=frozenset(row["gold_doc_ids"]),
        )
        for row in read_jsonl(folder / "tasks.jsonl")
        if row["gold_doc_ids"]
    ]


def foreign(tasks: Sequence[Task]) -> list[Task]:
    """Each question after somebody else's conversation, out of another collection."""
    found = []
    for number, task in enumerate(tasks):
        rest = [*tasks[number + 1 :], *tasks[:number]]
        other = next(one for one in rest if one.turns and one.collection != task.collection)
        found.append(replace(task, turns=other.turns, answer=other.answer))
    return found


def points(folder: Path, embedder: Embedder, vectors: Cached, bm25: Bm25Encoder) -> Iterator[Point]:
    chunks = []
    for row in read_jsonl(folder / "corpus.jsonl"):
        text = row["text"]
        document = Document(row["_id"], row["title"], text, (Block(0, len(text)),))
        chunks += chunk(document, FileRef(REF.workspace_id, REF.store_id, row["_id"], 1),
                        count_tokens=embedder.count_tokens, settings=ChunkingSettings())  # fmt: skip
    texts = [embedding_text(one) for one in chunks]
    vectors.embed(texts)
    for one, text in zip(chunks, texts, strict=True):
        yield Point(one, vectors.mixed([(text, 1.0)]), bm25.document(text))


class Exact:
    """Both stages of a search over all chunks, without an engine: cosines, and BM25 with Qdrant's formula of rarity."""

    def __init__(self, points: Sequence[Point]) -> None:
        self._chunks = [point.chunk for point in points]
        self._dense = numpy.array([point.dense for point in points], dtype=numpy.float32)
        columns: dict[int, int] = {}
        places = [
            (row, columns.setdefault(term, len(columns)), value)
            for row, point in enumerate(points)
            for term, value in zip(point.sparse.indices, point.sparse.values, strict=True)
        ]
        rows, terms, values = (numpy.array(one) for one in zip(*places, strict=True))
        held = numpy.bincount(terms)
        rarity = numpy.log((len(points) - held + 0.5) / (held + 0.5) + 1)
        self._columns = columns
        self._sparse = csr_array((values * rarity[terms], (rows, terms)), shape=(len(points), len(columns)))

    def search(self, dense: Dense, sparse: SparseVector) -> Candidates:
        terms = numpy.zeros(len(self._columns))
        for index, value in zip(sparse.indices, sparse.values, strict=True):
            if index in self._columns:
                terms[self._columns[index]] = value
        return Candidates(self._best(self._dense @ numpy.array(dense)), self._best(self._sparse @ terms, above=0.0))

    def _best(self, scores: Any, above: float = -1.0) -> tuple[Scored, ...]:
        places = numpy.argsort(-scores, kind="stable")[:CANDIDATES]
        return tuple(Scored(self._chunks[place], float(scores[place])) for place in places if scores[place] > above)


def recalls(index: Exact, tasks: Sequence[Task], way: Way, vectors: Cached, bm25: Bm25Encoder) -> list[float]:
    """recall@5 of each question."""
    found = []
    for task in tasks:
        weighted = way(task)
        candidates = index.search(vectors.mixed(weighted), mixed_terms(weighted, bm25))
        ranked = [one.chunk.source.file_id for one in fuse(candidates, FusionSettings())]
        found.append(recall_at_k(list(dict.fromkeys(ranked)), task.gold, TOP))
    return found


def gain(ours: Sequence[float], base: Sequence[float]) -> tuple[float, float, float]:
    """Mean difference with its 95% interval, questions resampled in pairs."""
    differences = numpy.subtract(ours, base)
    if not differences.any():
        return 0.0, 0.0, 0.0
    spread = bootstrap(
        (differences,), numpy.mean, n_resamples=9999, method="percentile", rng=numpy.random.default_rng(7)
    )
    return float(differences.mean()), float(spread.confidence_interval.low), float(spread.confidence_interval.high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=CONVERSATIONS)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "tandem-follow-up")
    options = parser.parse_args()
    embedder, bm25 = SentenceTransformerEmbedder("all-minilm-l6-v2"), Bm25Encoder()
    vectors = Cached(embedder, options.cache)
    tasks = read_tasks(options.data)
    strangers = foreign(tasks)
    vectors.embed([text for way in ways().values() for task in [*tasks, *strangers] for text, _ in way(task)])
    index = Exact(list(points(options.data, embedder, vectors, bm25)))
    measured = {name: recalls(index, tasks, way, vectors, bm25) for name, way in ways().items()}
    best = max(measured, key=lambda name: fmean(chosen_half(tasks, measured[name])))
    guards = {name: fmean(recalls(index, strangers, ways()[name], vectors, bm25)) for name in (*PRESENT, best)}
    print_table(tasks, measured, guards)
    summarize(tasks, measured, best)


def chosen_half(tasks: Sequence[Task], values: Sequence[float]) -> list[float]:
    return [value for task, value in zip(tasks, values, strict=True) if task.is_chosen_on]


def other_half(tasks: Sequence[Task], values: Sequence[float]) -> list[float]:
    return [value for task, value in zip(tasks, values, strict=True) if not task.is_chosen_on]


def print_table(tasks: Sequence[Task], measured: dict[str, list[float]], guards: dict[str, float]) -> None:
    print(f"{len(tasks)} questions, {sum(task.is_chosen_on for task in tasks)} to choose on; recall@{TOP}")
    print(f"{'':44}{'chosen on':>10}{'others':>9}{'all':>8}{'gain on all':>26}{'other subject':>15}")
    for name, values in measured.items():
        mean, low, high = gain(values, measured[ALONE])
        print(f"{name:44}{fmean(chosen_half(tasks, values)):>10.3f}{fmean(other_half(tasks, values)):>9.3f}"
              f"{fmean(values):>8.3f}{mean:>+10.3f} [{low:+.3f}, {high:+.3f}]"
              f"{guards.get(name, float('nan')):>14.3f}", flush=True)  # fmt: skip


def summarize(tasks: Sequence[Task], measured: dict[str, list[float]], best: str) -> None:
    base = other_half(tasks, measured[ALONE])
    figures: dict[str, Any] = {}
    for name in (RESOLVED, IN_USE, best):
        mean, low, high = gain(other_half(tasks, measured[name]), base)
        print(f"on the others, {name}: {mean:+.3f} [{low:+.3f}, {high:+.3f}]")
        figures[name] = {"recall_at_5": round(fmean(measured[name]), 4), "gain_on_others": round(mean, 4)}
    report("follow_up", {"questions": len(tasks), "alone": round(fmean(measured[ALONE]), 4), "best": best, **figures})


if __name__ == "__main__":
    main()
