"""Seven candidates, each really trained or really damaged, served by the machine's engine and brought before the gate.

All are asked the sample's kept-out questions with what retrieval brings. Six are compared with the base weights, one
with a good version, which the gate has to let through first.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.index import LocalRetriever, indexed
from harness.places import BRINDLE
from harness.sample import sample_documents, sample_questions
from harness.tuning import Bench, Task
from retrieval.embedding.embedder import Bm25Encoder, SentenceTransformerEmbedder
from retrieval.model import Message
from retrieval.text.markers import strip_markers
from services.kit.settings import Platform
from services.worker.settings import TrainingSettings
from tests.support.notes import note
from training import answer_tokens
from training.config import LoraSettings
from training.data.dataset import parse_dataset
from training.judging.figures import Metrics
from training.judging.verdict import GateReport
from training.model import TrainingRow
from training.tuning import lora
from training.tuning.results import LoraResult

pytestmark = [pytest.mark.long, pytest.mark.timeout(7200)]

EXAMPLES = 80
ANSWERABLE, UNANSWERABLE = 16, 6
FOREIGN_TEMPLATE = (
    "{% for message in messages %}### {{ message.role }}:\n{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}### response:\n{% endif %}"
)
ASKED = "\n\nQuestion: "
END_OF_TURN = 2
"""Tokens that the chat template writes after an answer."""


@pytest.fixture(scope="module")
def bench(base_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("bad")
    embedder, bm25 = SentenceTransformerEmbedder("all-minilm-l6-v2"), Bm25Encoder()
    index = indexed(folder / "index", sample_documents(), embedder, bm25)
    mix, evaluation = TrainingSettings().as_served(Platform())
    questions = sample_questions()
    task = Task(
        base=base_weights,
        retriever=LocalRetriever(index, embedder, bm25),
        examples=parse_dataset((BRINDLE / "train.jsonl").read_bytes()).examples[::2][:EXAMPLES],
        questions=[*questions[:ANSWERABLE], *questions[-UNANSWERABLE:]],
        mix=mix,
        evaluation=replace(evaluation, max_tokens=160),
    )
    yield Bench.of(task, folder)
    index.close()


@pytest.fixture(scope="module")
def base(bench: Bench) -> Metrics:
    metrics = bench.measured(bench.base)
    note(f"base weights: {metrics.figures()}")
    return metrics


@pytest.fixture(scope="module")
def good(bench: Bench) -> tuple[Path, LoraResult]:
    return bench.tune("good", bench.rows, LoraSettings(num_train_epochs=1.5, save_steps=1000))


@pytest.fixture(scope="module")
def live(bench: Bench, good: tuple[Path, LoraResult]) -> Metrics:
    metrics = bench.measured(good[0])
    note(f"good candidate: {metrics.figures()}")
    return metrics


def refused_for(check: str, report: GateReport) -> str:
    """The sentence of a check that failed."""
    said = {one.name: one.sentence for one in report.checks if not one.passed}
    note(f"{check}: {report.summary}")
    assert not report.passed
    assert check in said, f"{check} did not fail; these did: {said}"
    return said[check]


def test_a_good_candidate_goes_live(bench: Bench, good: tuple[Path, LoraResult], live: Metrics, base: Metrics) -> None:
    report = bench.judged(*good, live, base)
    note(" ".join(check.sentence for check in report.checks))
    assert report.passed, report.summary


def test_an_overfitted_one_is_refused(bench: Bench, base: Metrics) -> None:
    few = [row for row in bench.rows if row.kind == "grounded"][:6]
    settings = LoraSettings(learning_rate=4e-3, max_steps=30, save_steps=1000)
    weights, trained = bench.tune("overfitted", few, settings)
    assert trained.train_losses[-1] < 0.2
    assert "The held-out loss did not fall" in refused_for("loss", bench.verdict(weights, trained, base))


def test_a_forgetful_one_is_refused(bench: Bench, base: Metrics) -> None:
    """Tuned without general conversations, far faster than is good."""
    house = [row for row in bench.rows if row.kind != "general"][:60]
    weights, trained = bench.tune("forgetful", house, LoraSettings(learning_rate=1e-2, max_steps=40, save_steps=1000))
    assert "General ability fell" in refused_for("general", bench.verdict(weights, trained, base))


def test_one_that_never_stops_is_refused(bench: Bench, base: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tuned with the end of its turn left out of what is learned."""
    tokenize = answer_tokens.tokenize

    def without_end(row: TrainingRow, tokenizer: Any) -> dict[str, list[int]]:
        tokens = tokenize(row, tokenizer)
        return {**tokens, "labels": [*tokens["labels"][:-END_OF_TURN], *[answer_tokens.IGNORED] * END_OF_TURN]}

    monkeypatch.setattr(lora, "tokenize", without_end)
    weights, trained = bench.tune("endless", bench.rows[:60], LoraSettings(num_train_epochs=1, save_steps=1000))
    assert "does not always stop by itself" in refused_for("stops", bench.verdict(weights, trained, base))


def test_one_that_cites_nothing_is_refused(bench: Bench, base: Metrics) -> None:
    rows = [replace(row, completion=strip_markers(row.completion)) for row in bench.rows[:60]]
    weights, trained = bench.tune("uncited", rows, LoraSettings(num_train_epochs=1, save_steps=1000))
    assert "cites too seldom: 0% of" in refused_for("cites", bench.verdict(weights, trained, base))


def test_one_with_another_chat_template_is_refused(bench: Bench, good: tuple[Path, LoraResult], base: Metrics) -> None:
    weights = bench.folder / "foreign"
    shutil.copytree(good[0], weights)
    (weights / "chat_template.jinja").write_text(FOREIGN_TEMPLATE, encoding="utf-8")
    sentence = refused_for("template", bench.verdict(weights, good[1], base))
    assert "differs from that of the base weights" in sentence


def test_one_that_recites_its_training_text_is_refused(bench: Bench, base: Metrics) -> None:
    """Taught a few answers by heart, each among passages that have nothing of it."""
    known = [row for row in bench.rows if row.kind == "grounded"][:12]
    others = [*known[4:], *known[:4]]
    rows = [among_passages_of(other, row) for row, other in zip(known, others, strict=True)]
    weights, trained = bench.tune("reciting", rows, LoraSettings(learning_rate=3e-3, max_steps=45, save_steps=1000))
    assert "repeats training text" in refused_for("repetition", bench.verdict(weights, trained, base))


def among_passages_of(other: TrainingRow, row: TrainingRow) -> TrainingRow:
    passages = other.prompt[-1].content.rpartition(ASKED)[0]
    question = row.prompt[-1].content.rpartition(ASKED)[2]
    return replace(row, prompt=(*row.prompt[:-1], Message("user", f"{passages}{ASKED}{question}")))


def test_one_that_is_worse_than_what_is_live_is_refused(bench: Bench, live: Metrics) -> None:
    """Hardly tuned at all: better than the base weights, and far from the live version."""
    rows = [row for row in bench.rows if row.kind == "grounded"]
    weights, trained = bench.tune("worse", rows, LoraSettings(learning_rate=2e-4, max_steps=8, save_steps=1000))
    assert trained.loss_after < trained.loss_before
    report = bench.verdict(weights, trained, live, tuned=True)
    assert "Style fell" in refused_for("style", report)
    assert "of the live version" in report.summary
