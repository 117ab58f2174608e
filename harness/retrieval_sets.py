"""The public question sets in `../shared/data` as documents, questions and the documents that answer them.

Of a document only its title and text are used: file names and ids never reach the index. Test questions are those of
the bars; development questions are disjoint from them: SciFact's train part, MedQuAD's questions about documents that
no test question is about (plain, and with the disease's name replaced by another of its names), questions on the few
likings in LIMIT-small that no test question asks for, SQuAD 2, PubMedQA and COVID-QA.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from harness.jsonl import read_jsonl
from harness.places import SHARED_DATA
from retrieval.documents.formats.assembler import Assembler
from retrieval.documents.formats.limits import Limits
from retrieval.documents.loading import load
from retrieval.model import Document

FILENAME = "document.md"  # the same for all, so that no name can help

Relevant = Mapping[str, float]


@dataclass(frozen=True)
class Corpus:
    """Documents by their id."""

    name: str
    documents: Mapping[str, Document]


@dataclass(frozen=True)
class QuestionSet:
    """Questions over a corpus: (text, gain by id of each document that answers it)."""

    name: str
    corpus: str
    questions: tuple[tuple[str, Relevant], ...]


def corpus(name: str) -> Corpus:
    """One of scifact, medquad, npl, limit_small, squad2, pubmedqa, covidqa."""
    if name == "medquad":
        rows = read_jsonl(SHARED_DATA / "medquad/documents.jsonl")
        return Corpus(name, {row["_id"]: load(row["text"].encode(), FILENAME) for row in rows})
    rows = read_jsonl(SHARED_DATA / name / "corpus.jsonl")
    return Corpus(name, {row["_id"]: _document(row.get("title") or "", row["text"]) for row in rows})


def reported_sets() -> list[QuestionSet]:
    """The question sets of the bars: to be reported, never to be chosen on."""
    folder = SHARED_DATA / "medquad/beir"
    return [
        _beir("SciFact", "scifact", SHARED_DATA / "scifact/queries.jsonl", SHARED_DATA / "scifact/qrels/test.tsv"),
        _beir("MedQuAD plain", "medquad", folder / "queries.jsonl", folder / "qrels/test.tsv"),
        _beir("MedQuAD synonym", "medquad", folder / "queries_synonym.jsonl", folder / "qrels/test.tsv"),
        _beir("NPL", "npl", SHARED_DATA / "npl/queries.jsonl", SHARED_DATA / "npl/qrels/test.tsv"),
        _beir(
            "LIMIT-small",
            "limit_small",
            SHARED_DATA / "limit_small/queries.jsonl",
            SHARED_DATA / "limit_small/qrels/test.tsv",
        ),
    ]


def development_sets() -> list[QuestionSet]:
    """The question sets that settings are chosen on."""
    return [
        _beir(
            "SciFact train", "scifact", SHARED_DATA / "scifact/queries.jsonl", SHARED_DATA / "scifact/qrels/train.tsv"
        ),
        *_medquad_development(Random(5)),
        _limit_development(),
        _answered("SQuAD 2", "squad2"),
        _beir("PubMedQA", "pubmedqa", SHARED_DATA / "pubmedqa/queries.jsonl", SHARED_DATA / "pubmedqa/qrels/test.tsv"),
        _answered("COVID-QA", "covidqa"),
    ]


def _document(title: str, text: str) -> Document:
    into = Assembler(FILENAME, Limits())
    if title:
        into.heading(1, title)
    for paragraph in text.split("\n\n"):
        into.block(paragraph)
    return into.document(title, None)


def _beir(name: str, corpus: str, queries: Path, qrels: Path) -> QuestionSet:
    relevant: dict[str, dict[str, float]] = defaultdict(dict)
    with qrels.open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if float(row["score"]) > 0:
                relevant[row["query-id"]][row["corpus-id"]] = float(row["score"])
    rows = read_jsonl(queries)
    return QuestionSet(
        name, corpus, tuple((row["text"], relevant[row["_id"]]) for row in rows if row["_id"] in relevant)
    )


def _answered(name: str, corpus: str, most: int = 500) -> QuestionSet:
    rows = [row for row in read_jsonl(SHARED_DATA / corpus / "questions.jsonl") if row.get("answerable", True)]
    chosen = Random(3).sample(rows, min(most, len(rows)))
    return QuestionSet(name, corpus, tuple((row["question"], {row["doc_id"]: 1.0}) for row in chosen))


def _medquad_development(rng: Random, most: int = 400) -> list[QuestionSet]:
    """Questions on diseases that no test question is about, and the same with one of the disease's other names.

    A question counts for every document of its disease (`group`), as in the test set. The other names are used to ask
    and are not indexed.
    """
    documents = {row["_id"]: row for row in read_jsonl(SHARED_DATA / "medquad/documents.jsonl")}
    tested = {gold for row in read_jsonl(SHARED_DATA / "medquad/eval_questions.jsonl") for gold in row["gold_doc_ids"]}
    tested_groups = {documents[one]["group"] for one in tested}
    rows = [
        row
        for row in read_jsonl(SHARED_DATA / "medquad/qa.jsonl")
        if documents[row["doc_id"]]["group"] not in tested_groups
    ]
    rng.shuffle(rows)
    plain: list[tuple[str, Relevant]] = []
    renamed: list[tuple[str, Relevant]] = []
    for row in rows:
        document = documents[row["doc_id"]]
        answers = {one["_id"]: 1.0 for one in documents.values() if one["group"] == document["group"]}
        if len(plain) < most:
            plain.append((row["question"], answers))
        if document["synonyms"] and document["title"] in row["question"] and len(renamed) < most:
            other = rng.choice(document["synonyms"])
            renamed.append((row["question"].replace(document["title"], other), answers))
    return [
        QuestionSet("MedQuAD dev plain", "medquad", tuple(plain)),
        QuestionSet("MedQuAD dev synonym", "medquad", tuple(renamed)),
    ]


def _limit_development() -> QuestionSet:
    """ "Who likes ...?" for every liking that no test question asks for."""
    asked = {row["text"] for row in read_jsonl(SHARED_DATA / "limit_small/queries.jsonl")}
    likers: dict[str, dict[str, float]] = defaultdict(dict)
    for row in read_jsonl(SHARED_DATA / "limit_small/corpus.jsonl"):
        for liking in row["text"].partition(" likes ")[2].rstrip(".").split(", "):
            if " and " not in liking:
                likers[f"Who likes {liking}?"][row["_id"]] = 1.0
    untested = {question: relevant for question, relevant in likers.items() if question not in asked}
    return QuestionSet("LIMIT dev", "limit_small", tuple(untested.items()))
