"""SciFact for the benchmarks: abstracts as one chunk each, and the 300 test questions with what answers them."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy

from harness.jsonl import read_jsonl
from harness.places import SHARED_DATA
from retrieval.documents.chunking import chunk_id
from retrieval.embedding.embedder import Dense, Embedder
from retrieval.metrics import ndcg_at_k
from retrieval.model import Chunk, FileRef

DATA = SHARED_DATA / "scifact"
TOP = 10


@dataclass(frozen=True)
class Scifact:
    """Texts by id, in order; `relevant` gives each question's relevant documents their gain."""

    documents: Mapping[str, str]
    questions: Mapping[str, str]
    relevant: Mapping[str, Mapping[str, float]]

    @classmethod
    def read(cls, folder: Path = DATA) -> Scifact:
        """Title and text of each abstract, and the test questions. Ends the program where the data set is not there."""
        if not (folder / "corpus.jsonl").is_file():
            raise SystemExit(f"SciFact is not in {folder}; name its folder with --data")
        relevant: dict[str, dict[str, float]] = defaultdict(dict)
        with (folder / "qrels" / "test.tsv").open(encoding="utf-8") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                relevant[row["query-id"]][row["corpus-id"]] = float(row["score"])
        documents = {row["_id"]: f"{row['title']}\n{row['text']}" for row in read_jsonl(folder / "corpus.jsonl")}
        asked = {row["_id"]: row["text"] for row in read_jsonl(folder / "queries.jsonl") if row["_id"] in relevant}
        return cls(documents, asked, relevant)

    def ndcg(self, rank: Callable[[str], Sequence[str]], queries: Iterable[str]) -> float:
        """Mean nDCG@10 of what `rank` makes of each question's id."""
        return fmean(ndcg_at_k(rank(query), self.relevant[query], TOP) for query in queries)


def as_chunk(number: int, document_id: str, text: str) -> Chunk:
    """A document as its only chunk; `filename` is its id."""
    source = FileRef("ws", "vs", document_id, 1)
    return Chunk(chunk_id(source, 0), source, number, text, document_id, "", (), None, 0, len(text))


def embedded(embedder: Embedder, texts: Sequence[str], kept: Path | None) -> list[Dense]:
    """The texts' vectors: from the file `kept` where there is one of that length, else made, and put there."""
    if kept and kept.is_file():
        vectors = numpy.load(kept)
        if len(vectors) == len(texts):
            return [tuple(row) for row in vectors.tolist()]
    made = embedder.embed(texts)
    if kept:
        numpy.save(kept, numpy.asarray(made, dtype=numpy.float32))
    return made
