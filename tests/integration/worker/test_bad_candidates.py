"""Seven candidates, each really trained or really damaged, served by the machine's engine and brought before the gate.

All are asked the sample's kept-out questions with what retrieval brings. Six are compared with the base weights, one
with a good version, which the gate has to let through first.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from harness.index import LocalRetriever, indexed
from harness.places import BRINDLE
from harness.sample import sample_documents, sample_questions
from harness.serving import served
from harness.tuning import tune
from retrieval.embedding.embedder import Bm25Encoder, SentenceTransformerEmbedder
from retrieval.model import Message
from retrieval.text.words import strip_markers
from services.kit.settings import Platform
from services.worker.settings import TrainingSettings, WorkerSettings
from tests.figures import note
from tests.training_fakes import example
from training.config import EvaluationSettings, GateSettings, LoraSettings
from training.data.dataset import parse_dataset
from training.judging.evaluation import evaluate, make_trials
from training.judging.gate import Evidence, judge
from training.judging.probes import parse_probes
from training.judging.repetition import TrainedText
from training.judging.scoring import Standards, Trial
from training.judging.style import StyleProfile
from training.model import Example, GateReport, LoraResult, Metrics, TrainingRow
from training.prompts.rows import build_rows
from training.tuning import lora
from training.weights.registry import template_fingerprint

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


@dataclass
class Bench:
    """What every candidate is made from and measured on."""

    base: Path
    folder: Path
    examples: Sequence[Example]
    rows: Sequence[TrainingRow]
    held_out: Sequence[TrainingRow]
    trials: Sequence[Trial]
    settings: EvaluationSettings

    def tune(self, name: str, rows: Sequence[TrainingRow], settings: LoraSettings) -> tuple[Path, LoraResult]:
        return tune(self.base, rows, self.held_out, settings, self.folder / name)

    def standards(self) -> Standards:
        prompts = [row.prompt[-1].content for row in self.rows if row.kind != "general"]
        style = StyleProfile.fit([one.answer for one in self.examples if not one.refuses], prompts)
        return Standards(style, TrainedText(self.examples, self.settings.repeat_words))

    def measured(self, weights: Path) -> Metrics:
        probes = parse_probes(TrainingSettings().probes.read_bytes())
        with served(weights, self.folder) as answerer:
            return evaluate(self.trials, probes, answerer, self.standards(), self.settings, lambda: False)

    def verdict(self, weights: Path, trained: LoraResult, baseline: Metrics, tuned: bool = False) -> GateReport:
        templates = template_fingerprint(weights), template_fingerprint(self.base)
        return judge(Evidence(trained, self.measured(weights), baseline, tuned, *templates), GateSettings())


@pytest.fixture(scope="module")
def bench(base_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("bad")
    embedder, bm25 = SentenceTransformerEmbedder("all-minilm-l6-v2"), Bm25Encoder()
    index = indexed(folder / "index", sample_documents(), embedder, bm25)
    retriever = LocalRetriever(index, embedder, bm25)
    platform = Platform()
    as_served: dict[str, Any] = {"top_k": platform.top_k, "min_answerability": platform.min_answerability}
    settings = EvaluationSettings(max_tokens=160, guarded=platform.guarded, **as_served)
    mix = replace(TrainingSettings().mix(), **as_served)
    examples = parse_dataset((BRINDLE / "train.jsonl").read_bytes()).examples[::2][:EXAMPLES]
    general = parse_dataset(WorkerSettings().general_examples.read_bytes()).examples
    rows, _ = build_rows(examples, general, retriever, mix, random.Random(13))
    questions = sample_questions()
    asked = [*questions[:ANSWERABLE], *questions[-UNANSWERABLE:]]
    kept_out = [example(one.question, one.reference, document=one.document) for one in asked[:ANSWERABLE]]
    held_out, _ = build_rows(kept_out, [], retriever, mix, random.Random(13))
    yield Bench(base_weights, folder, examples, rows, held_out, make_trials(asked, retriever, settings), settings)
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
    templates = template_fingerprint(good[0]), template_fingerprint(bench.base)
    report = judge(Evidence(good[1], live, base, False, *templates), GateSettings())
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
    tokenize = lora.tokenize

    def without_end(row: TrainingRow, tokenizer: Any) -> dict[str, list[int]]:
        tokens = tokenize(row, tokenizer)
        return {**tokens, "labels": [*tokens["labels"][:-END_OF_TURN], *[lora.IGNORED] * END_OF_TURN]}

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
