"""How documents should be cut: each strategy and size, measured by what reaches a prompt.

    python -m benchmarks.chunking [--cache FOLDER]

A prompt has room for so many words, not for so many passages. So the figure is the share of questions whose answer
stands word for word in the first 480 tokens of passages, from the right document: three chunks of the default size.
COVID-QA has papers of some 22,000 characters (15 of them), httpx its documentation with code and tables, SQuAD 2
paragraphs. The last line on standard output is JSON.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from harness.figures import report
from harness.jsonl import read_jsonl
from harness.places import SHARED_DATA
from harness.retrieval_sets import Corpus, corpus
from harness.search_quality import Bench, indexed, open_embedder
from harness.vector_cache import CachedEmbedder
from retrieval.documents.chunking import ChunkingSettings
from retrieval.documents.loading import load
from retrieval.search.searcher import SearchSettings

BUDGET = 480
MOST_QUESTIONS = 300
MOST_PAPERS = 15
HTTPX = "0.28.1"
WAYS = {
    "structure 160 (in use)": ChunkingSettings(),
    "structure 160, overlap 40": ChunkingSettings(160, 40),
    "structure 96": ChunkingSettings(96),
    "structure 240": ChunkingSettings(240),
    "sentences 160": ChunkingSettings(160, strategy="sentences"),
    "fixed 160": ChunkingSettings(160, strategy="fixed"),
    "fixed 160, overlap 40": ChunkingSettings(160, 40, "fixed"),
    "document 480": ChunkingSettings(480, strategy="document"),
}


@dataclass(frozen=True)
class Asked:
    """A question, the document that answers it, and the answer as it may stand there."""

    question: str
    document: str
    answers: tuple[str, ...]


def tasks() -> list[tuple[Corpus, list[Asked]]]:
    return [
        (_httpx(), list(_httpx_questions())),
        *((documents, list(_answered(documents))) for documents in (_papers(), corpus("squad2"))),
    ]


def _papers() -> Corpus:
    every = corpus("covidqa")
    return Corpus(every.name, dict(list(every.documents.items())[:MOST_PAPERS]))


def _answered(documents: Corpus) -> Iterator[Asked]:
    rows = [
        row
        for row in read_jsonl(SHARED_DATA / documents.name / "questions.jsonl")
        if row.get("answerable", True) and row["doc_id"] in documents.documents
    ]
    for row in Random(3).sample(rows, min(MOST_QUESTIONS, len(rows))):
        yield Asked(row["question"], row["doc_id"], tuple(row["answers"]))


def _httpx() -> Corpus:
    folder = SHARED_DATA / "docs_versions/httpx" / HTTPX
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*.md"))}
    return Corpus("httpx", {name: load(path.read_bytes(), path.name) for name, path in files.items()})


def _httpx_questions() -> Iterator[Asked]:
    """Questions whose answer the newest documentation still has."""
    for row in read_jsonl(SHARED_DATA / "docs_versions/httpx/changing_questions.jsonl"):
        last = row["answers"][-1]
        yield Asked(row["question"], last["path"], (last["evidence"],))


def share_answered(bench: Bench, questions: Sequence[Asked], embedder: CachedEmbedder) -> float:
    embedder.matrix([one.question for one in questions])
    settings = SearchSettings(join_neighbours=False)
    return sum(_answers(bench, one, settings) for one in questions) / len(questions)


def _answers(bench: Bench, asked: Asked, settings: SearchSettings) -> bool:
    room = BUDGET
    for chunk in bench.found(asked.question, settings):
        tokens = bench.embedder.count_tokens(chunk.text)
        fitting = chunk.text[: int(len(chunk.text) * min(1.0, room / max(tokens, 1)))]
        if chunk.source.file_id == asked.document and any(_plain(one) in _plain(fitting) for one in asked.answers):
            return True
        room -= tokens
        if room <= 0:
            return False
    return False


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def measure(embedder: CachedEmbedder) -> Mapping[str, dict[str, float]]:
    figures: dict[str, dict[str, float]] = {way: {} for way in WAYS}
    for documents, questions in tasks():
        for way, settings in WAYS.items():
            with indexed(documents, embedder, settings) as (bench, chunks):
                figures[way][f"{documents.name} chunks"] = chunks
                figures[way][documents.name] = round(share_answered(bench, questions, embedder), 3)
            print(f"  {documents.name}, {way}: {figures[way][documents.name]} of {len(questions)}", flush=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, help="folder that keeps vectors between runs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(open_embedder(options.cache or Path(folder)))
    columns = list(next(iter(figures.values())))
    print("| |", " | ".join(columns), "|")
    print("|---|", "---|" * len(columns), sep="")
    for way, row in figures.items():
        print(f"| {way} |", " | ".join(f"{row[column]:g}" for column in columns), "|")
    report("chunking", {"share_answered": figures})


if __name__ == "__main__":
    main()
