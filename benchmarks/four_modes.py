"""A voice tuned and measured without a platform: the same rows, prompts, engine and figures that a run has."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.index import LocalRetriever
from harness.serving import served
from harness.tuning import tune
from retrieval.model import Message
from services.kit.settings import Platform
from services.worker.settings import TrainingSettings, WorkerSettings
from training.config import EvaluationSettings, LoraSettings, MixSettings
from training.data.dataset import parse_dataset
from training.judging.evaluation import Answerer, evaluate, make_trials
from training.judging.gate import Evidence, judge
from training.judging.probes import parse_probes
from training.judging.repetition import TrainedText
from training.judging.scoring import Standards, Trial
from training.judging.style import StyleProfile
from training.model import Example, GateReport, LoraResult, Metrics, Question, Share, TrainingRow
from training.prompts.rows import build_rows
from training.weights.registry import template_fingerprint

MODES = ("base", "rag", "tuned", "hybrid")
FIGURES = (
    "facts", "fact_recall", "token_f1", "citation_recall", "citation_precision", "model_made", "marked",
    "refused_unanswerable", "refused_removed", "refused_answerable", "decided", "general", "stopped", "repeated",
)  # fmt: skip


@dataclass(frozen=True)
class Task:
    """What a model is tuned for and asked. Held-out rows measure the loss alone."""

    base: Path
    retriever: LocalRetriever
    examples: Sequence[Example]
    questions: Sequence[Question]
    lora: LoraSettings
    mix: MixSettings
    evaluation: EvaluationSettings


@dataclass(frozen=True)
class Outcome:
    """The modes' figures, what the training came to, and the gate's word on the tuned weights."""

    modes: Mapping[str, Metrics]
    lora: LoraResult
    gate: GateReport


def as_served(mix: Mapping[str, float], removed: int) -> tuple[MixSettings, EvaluationSettings]:
    """The settings of rows and questions as the platform has them, with these shares in place of its own."""
    platform, training = Platform(), TrainingSettings()
    served: dict[str, Any] = {"top_k": platform.top_k, "min_answerability": platform.min_answerability}
    rows: dict[str, Any] = {**served, **mix}
    answered = {"removed": removed, "max_tokens": platform.max_answer_tokens, "guarded": platform.guarded}
    answers: dict[str, Any] = {**served, **answered}
    return replace(training.mix(), **rows), replace(training.evaluation(), **answers)


def run(task: Task, folder: Path) -> Outcome:
    """Tune on the task's examples and ask base and tuned weights, with passages and without."""
    rows = made_rows(task)
    weights, lora = tune(task.base, rows, held_out_rows(task), task.lora, folder)
    standards = Standards(style_of(task, rows), TrainedText(task.examples, task.evaluation.repeat_words))
    trials = make_trials(task.questions, task.retriever, task.evaluation)
    plain = [replace(trial, passages=()) for trial in trials if not trial.removed]
    modes = {}
    for without, grounded, model in (("base", "rag", task.base), ("tuned", "hybrid", weights)):
        with served(model, folder) as answerer:
            modes[without] = measured(plain, answerer, standards, task)
            modes[grounded] = measured(trials, answerer, standards, task)
    templates = template_fingerprint(weights), template_fingerprint(task.base)
    verdict = judge(Evidence(lora, modes["hybrid"], modes["rag"], False, *templates), TrainingSettings().gate())
    return Outcome(modes, lora, verdict)


def made_rows(task: Task) -> list[TrainingRow]:
    general = parse_dataset(WorkerSettings().general_examples.read_bytes()).examples
    return build_rows(task.examples, general, task.retriever, task.mix, random.Random(task.mix.seed))[0]


def held_out_rows(task: Task) -> list[TrainingRow]:
    asked = [kept_out(one) for one in task.questions if one.reference]
    return build_rows(asked, [], task.retriever, task.mix, random.Random(task.mix.seed))[0]


def kept_out(question: Question) -> Example:
    messages = (Message("user", question.question), Message("assistant", question.reference))
    return Example(messages, {"document": question.document})


def style_of(task: Task, rows: Sequence[TrainingRow]) -> StyleProfile:
    prompts = [row.prompt[-1].content for row in rows if row.kind != "general"]
    return StyleProfile.fit([one.answer for one in task.examples if not one.refuses], prompts)


def measured(trials: Sequence[Trial], answerer: Answerer, standards: Standards, task: Task) -> Metrics:
    probes = parse_probes(TrainingSettings().probes.read_bytes())
    return evaluate(trials, probes, answerer, standards, task.evaluation, lambda: False)


def print_table(figures: Mapping[str, Metrics], names: Sequence[str] = FIGURES) -> None:
    """One column a model, one row a figure, each with the number of what was counted."""
    print(f"{'':24}" + "".join(f"{name[:22]:>24}" for name in figures))
    for name in names:
        print(f"{name:24}" + "".join(f"{cell(getattr(metrics, name)):>24}" for metrics in figures.values()))
    for trait in next(iter(figures.values())).style:
        cells = (cell(metrics.style.get(trait)) for metrics in figures.values())
        print(f"{'style: ' + trait:24}" + "".join(f"{value:>24}" for value in cells))


def cell(share: Share | None) -> str:
    return "-" if share is None or share.value is None else f"{share.value:.3f} of {share.of}"
