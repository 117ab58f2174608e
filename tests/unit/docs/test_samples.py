"""Checks that the Brindle sample keeps the promises made in its README."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from typing import Any

import pytest

from harness.places import BRINDLE

DOCUMENTS = BRINDLE / "documents"
PDF_SOURCES = BRINDLE / "pdf_sources"

ORDINARY_TERMS = re.compile(
    r"\b(batter(y|ies)|customers?|subscriptions?|support|refund(s|ed|able)?"
    r"|repair shops?|service cent(re|er)s?|technicians?|mechanics?|workshops?)\b",
    re.IGNORECASE,
)
INFORMAL = re.compile(
    r"!|\b\w+n['\u2019]t\b|['\u2019](re|ll|ve|d|m)\b|\b(it|that|what|there|here)['\u2019]s\b"
    r"|\b(I|me|my|mine|please|sorry|apologi[sz]e|unfortunately|hope|note that)\b"
)
HOUSE_TERMS = (
    "power pack",
    "rider",
    "ride plan",
    "care desk",
    "bike clinic",
    "fitter",
    "repayment",
)

Record = dict[str, Any]


def load(name: str) -> list[Record]:
    lines = (BRINDLE / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def question_of(record: Record) -> str:
    if "messages" in record:
        return str(record["messages"][0]["content"])
    return str(record["question"])


def answer_of(record: Record) -> str:
    if "messages" in record:
        return str(record["messages"][1]["content"])
    return str(record["answer"])


def document_of(record: Record) -> str | None:
    document = record["metadata"]["document"] if "metadata" in record else record["document"]
    return None if document is None else str(document)


def source_of(name: str) -> str:
    """Return the readable text of a document with its headings still marked."""
    path = DOCUMENTS / name
    if path.suffix == ".pdf":
        path = PDF_SOURCES / f"{path.stem}.md"
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".html":
        text = re.sub(r"<h2>(.*?)</h2>", r"\n## \1\n", text[text.index("<article>") :])
        text = html.unescape(re.sub(r"<[^>]+>", " ", text))
    if path.suffix == ".txt":
        text = re.sub(r"^(.+)\n-{5,}$", r"## \1", text, flags=re.MULTILINE)
    return text


def flat(text: str) -> str:
    return " ".join(text.split())


def sections_of(name: str) -> list[str]:
    return [flat(part) for part in re.split(r"^## ", source_of(name), flags=re.MULTILINE)]


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def trigrams(text: str) -> set[tuple[str, ...]]:
    words = words_of(text)
    if len(words) < 3:
        return {tuple(words)}
    return {tuple(words[i : i + 3]) for i in range(len(words) - 2)}


def similarity(left: str, right: str) -> float:
    a, b = trigrams(left), trigrams(right)
    return len(a & b) / len(a | b)


def figures_of(text: str) -> set[str]:
    """Return the numbers and codes in a text: 30, 1,500, 08:30, E-07, BR-2217."""
    return set(re.findall(r"\b(?:[A-Z]{1,3}-)?\d+(?:[.,:]\d+)*", text))


def is_refusal(record: Record) -> bool:
    return document_of(record) is None


TRAIN = load("train.jsonl")
QUESTIONS = load("questions.jsonl")
UNANSWERABLE = load("unanswerable.jsonl")
GENERAL = load("general.jsonl")
GENERAL_TRAIN = load("../../training/data/general.jsonl")
ANSWERS = [answer_of(record) for record in TRAIN + QUESTIONS]
GROUNDED = [record for record in TRAIN + QUESTIONS if not is_refusal(record)]
REFUSALS = [record for record in TRAIN if is_refusal(record)]
HELD_OUT = [question_of(record) for record in QUESTIONS + UNANSWERABLE]
TRAINING_QUESTIONS = [question_of(record) for record in TRAIN]


def test_there_are_enough_documents_in_all_four_formats() -> None:
    counts = Counter(path.suffix for path in DOCUMENTS.iterdir())
    assert sum(counts.values()) >= 44
    assert counts[".md"] >= 26
    assert counts[".html"] >= 8
    assert counts[".txt"] >= 5
    assert counts[".pdf"] >= 6
    assert set(counts) == {".md", ".html", ".txt", ".pdf"}


def test_every_pdf_has_exactly_one_source() -> None:
    pdfs = {path.stem for path in DOCUMENTS.glob("*.pdf")}
    assert pdfs == {path.stem for path in PDF_SOURCES.glob("*.md")}
    assert all(path.read_bytes().startswith(b"%PDF-") for path in DOCUMENTS.glob("*.pdf"))


def test_at_least_four_documents_are_marked_as_superseded() -> None:
    names = [path.name for path in DOCUMENTS.iterdir()]
    old = [n for n in names if "(superseded)" in source_of(n)]
    assert len(old) >= 4
    assert all(re.search(r"20\d\d", name) for name in old)


def test_at_least_four_documents_are_long() -> None:
    lengths = [len(source_of(path.name).split()) for path in DOCUMENTS.iterdir()]
    assert sum(1200 <= length <= 2500 for length in lengths) >= 4


def test_the_files_have_the_promised_number_of_records() -> None:
    assert len(TRAIN) - len(REFUSALS) >= 170
    assert len(REFUSALS) >= 30
    assert len(QUESTIONS) == 40
    assert len(UNANSWERABLE) == 15
    assert len(GENERAL) == 24
    assert len(GENERAL_TRAIN) == 20


def test_every_named_document_exists_and_every_document_is_used() -> None:
    named = {str(document_of(record)) for record in GROUNDED}
    assert named == {path.name for path in DOCUMENTS.iterdir()}


@pytest.mark.parametrize("record", QUESTIONS, ids=question_of)
def test_every_required_fact_stands_in_its_document(record: Record) -> None:
    text = flat(source_of(str(document_of(record))))
    assert 1 <= len(record["facts"]) <= 2
    for alternatives in record["facts"]:
        assert any(fact in text for fact in alternatives), alternatives
        assert any(fact.lower() in record["answer"].lower() for fact in alternatives), alternatives


@pytest.mark.parametrize("record", GROUNDED, ids=question_of)
def test_the_figures_of_an_answer_come_from_one_section(record: Record) -> None:
    figures = figures_of(answer_of(record))
    sections = sections_of(str(document_of(record)))
    missing = min((figures - figures_of(section) for section in sections), key=len)
    assert not missing


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_is_formal_and_addresses_the_reader(answer: str) -> None:
    assert not INFORMAL.search(answer)
    assert re.search(r"\byour?\b", answer, re.IGNORECASE)


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_uses_no_ordinary_term(answer: str) -> None:
    assert not ORDINARY_TERMS.search(answer)


def test_every_house_term_is_common_in_the_training_answers() -> None:
    answers = [answer_of(record).lower() for record in TRAIN]
    for term in HOUSE_TERMS:
        assert sum(term in answer for answer in answers) >= 8, term
    assert sum(any(t in a for t in HOUSE_TERMS) for a in answers) >= 0.7 * len(answers)


def test_the_documents_use_no_house_term() -> None:
    allowed = {"rider"}
    for path in DOCUMENTS.iterdir():
        text = source_of(path.name).lower()
        assert not [term for term in HOUSE_TERMS if term not in allowed and term in text], path.name


@pytest.mark.parametrize("record", TRAIN + QUESTIONS, ids=question_of)
def test_an_answer_has_a_lead_sentence_and_bullets(record: Record) -> None:
    lead, _, rest = answer_of(record).partition("\n\n")
    bullets = rest.split("\n")
    assert "\n" not in lead
    assert len(bullets) in ({1, 2} if is_refusal(record) else {2})
    assert all(bullet.startswith("- ") for bullet in bullets)
    for line in [lead, *bullets]:
        assert line.endswith(".")
        assert not re.search(r"[.?]\s+[A-Z]", line), "one sentence a line"


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_has_between_30_and_55_words(answer: str) -> None:
    assert 30 <= len(answer.replace("\n- ", "\n").split()) <= 55


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_carries_no_citation_marker(answer: str) -> None:
    assert not re.search(r"\[\d*\]", answer)


@pytest.mark.parametrize("record", REFUSALS, ids=question_of)
def test_a_refusal_says_so_in_its_lead_and_states_no_figure(record: Record) -> None:
    lead = answer_of(record).split("\n\n")[0]
    assert "do not answer" in lead or "does not answer" in lead
    assert not figures_of(answer_of(record))


def test_no_grounded_answer_sounds_like_a_refusal() -> None:
    for record in GROUNDED:
        assert not re.search(r"\bdo(es)? not answer\b", answer_of(record))


@pytest.mark.parametrize("question", HELD_OUT)
def test_no_held_out_question_is_close_to_a_training_question(question: str) -> None:
    assert question not in TRAINING_QUESTIONS
    assert max(similarity(question, other) for other in TRAINING_QUESTIONS) < 0.5


def test_no_question_occurs_twice() -> None:
    questions = [" ".join(words_of(q)) for q in TRAINING_QUESTIONS + HELD_OUT]
    assert [q for q, count in Counter(questions).items() if count > 1] == []


def test_no_answer_occurs_twice() -> None:
    assert [a for a, count in Counter(ANSWERS).items() if count > 1] == []


def test_general_probes_accept_short_answers_and_stay_out_of_training() -> None:
    trained = {question_of(record) for record in GENERAL_TRAIN}
    for probe in GENERAL:
        assert probe["accept"]
        assert all(len(word) <= 20 for word in probe["accept"])
        assert probe["question"] not in trained


def test_chat_examples_are_one_question_and_one_answer() -> None:
    for record in TRAIN + GENERAL_TRAIN:
        assert [m["role"] for m in record["messages"]] == ["user", "assistant"]
        assert all(m["content"].strip() for m in record["messages"])
