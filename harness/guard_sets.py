"""Questions that documents answer, and questions that they do not: the sets that a guard is measured on.

None of them was used to choose the guard's weights, except the sample company's. The handbooks are one page each, in
six languages, each in its own store. The others are the shared public sets, which a user's clone does not have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from harness.jsonl import read_jsonl
from harness.places import BRINDLE, HANDBOOKS, SHARED_DATA
from harness.sample import sample_documents

SQUAD_PARAGRAPHS, SQUAD_QUESTIONS = 260, 150


@dataclass(frozen=True)
class Asked:
    """A question and whether the documents answer it.

    `facts` are strings that a right answer has, `earlier` the user's turns before it. A `near_miss` is about what the
    documents are about.
    """

    question: str
    answerable: bool
    facts: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()
    near_miss: bool = False


@dataclass(frozen=True)
class GuardSet:
    """Documents by their filenames, and what is asked about them."""

    name: str
    documents: dict[str, bytes]
    questions: tuple[Asked, ...]


def handbooks() -> list[GuardSet]:
    """One set a language."""
    rows = read_jsonl(HANDBOOKS / "questions.jsonl")
    sets = []
    for path in sorted(HANDBOOKS.glob("*.md")):
        asked = tuple(
            Asked(row["question"], row["answerable"], tuple(row["facts"]), near_miss=row.get("near_miss", False))
            for row in rows
            if row["document"] == path.name
        )
        if asked:
            sets.append(GuardSet(path.stem, {path.name: path.read_bytes()}, asked))
    return sets


def shared_sets() -> Iterator[GuardSet]:
    """The public sets, one after the other; nothing where they are absent."""
    if SHARED_DATA.is_dir():
        yield squad()
        yield answered("COVID-QA", "covidqa")
        yield conversations()
        yield answered("PubMedQA", "pubmedqa")
        yield medquad()


def sample() -> GuardSet:
    answered = [Asked(row["question"], True) for row in read_jsonl(BRINDLE / "questions.jsonl")]
    others = [Asked(row["question"], False) for row in read_jsonl(BRINDLE / "unanswerable.jsonl")]
    return GuardSet("sample", sample_documents(), (*answered, *others))


def squad() -> GuardSet:
    """As many questions of either kind, on the first paragraphs of the set."""
    corpus = read_jsonl(SHARED_DATA / "squad2/corpus.jsonl")[:SQUAD_PARAGRAPHS]
    held = {row["_id"] for row in corpus}
    rows = [row for row in read_jsonl(SHARED_DATA / "squad2/questions.jsonl") if row["doc_id"] in held]
    drawn = Random(11)
    asked: list[Asked] = []
    for answerable in (True, False):
        chosen = drawn.sample([row for row in rows if row["answerable"] is answerable], SQUAD_QUESTIONS)
        asked += [Asked(row["question"], answerable, tuple(row["answers"][:1]), (), not answerable) for row in chosen]
    return GuardSet("SQuAD 2", _pages(corpus), tuple(asked))


def conversations() -> GuardSet:
    """mtrag_un: questions at the end of a conversation, those that are partly answered left out."""
    asked = [
        Asked(
            row["question"],
            row["answerability"] == "ANSWERABLE",
            earlier=tuple(turn["content"] for turn in row["history"] if turn["role"] == "user"),
        )
        for row in read_jsonl(SHARED_DATA / "mtrag_un/tasks.jsonl")
        if row["answerability"] in ("ANSWERABLE", "UNANSWERABLE")
    ]
    return GuardSet("mtrag_un", _pages(read_jsonl(SHARED_DATA / "mtrag_un/corpus.jsonl")), tuple(asked))


def answered(name: str, folder: str) -> GuardSet:
    """A set whose every question is answered."""
    rows = read_jsonl(SHARED_DATA / folder / "questions.jsonl")
    asked = tuple(Asked(row["question"], True) for row in rows)
    return GuardSet(name, _pages(read_jsonl(SHARED_DATA / folder / "corpus.jsonl")), asked)


def medquad() -> GuardSet:
    rows = read_jsonl(SHARED_DATA / "medquad/documents.jsonl")
    documents = {f"{place}.md": row["text"].encode() for place, row in enumerate(rows)}
    answered = [Asked(row["question"], True) for row in read_jsonl(SHARED_DATA / "medquad/eval_questions.jsonl")]
    others = [Asked(row["question"], False) for row in read_jsonl(SHARED_DATA / "medquad/unanswerable_questions.jsonl")]
    return GuardSet("MedQuAD", documents, (*answered, *others))


def _pages(rows: Sequence[dict[str, str]]) -> dict[str, bytes]:
    """Documents whose names tell nothing."""
    return {f"{place}.md": _page(row.get("title") or "", row["text"]) for place, row in enumerate(rows)}


def _page(title: str, text: str) -> bytes:
    return (f"# {title}\n\n{text}" if title else text).encode()
