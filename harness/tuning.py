"""Candidates without a platform: rows, adapters, an exam and the gate's verdict, all made as a run makes them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.index import LocalRetriever
from harness.serving import served
from retrieval.model import Message
from services.worker.settings import TrainingSettings, WorkerSettings
from training.config import EvaluationSettings, LoraSettings, MixSettings
from training.data.dataset import parse_dataset
from training.judging.evaluation import make_trials
from training.judging.exam import Exam, standards_of, style_of
from training.judging.figures import Metrics
from training.judging.gate import Evidence, judge
from training.judging.probes import parse_probes
from training.judging.questions import Question
from training.judging.verdict import GateReport
from training.model import Example, TrainingRow
from training.prompts.rows import build_rows
from training.tuning.lora import train_adapter
from training.tuning.results import LoraResult
from training.weights.merge import merge
from training.weights.registry import template_fingerprint


@dataclass(frozen=True)
class Task:
    """What a model is tuned for and asked. The loss is measured on the questions that have a reference."""

    base: Path
    retriever: LocalRetriever
    examples: Sequence[Example]
    questions: Sequence[Question]
    mix: MixSettings
    evaluation: EvaluationSettings


@dataclass(frozen=True)
class Bench:
    """What every candidate of a task is made from and measured by."""

    base: Path
    folder: Path
    rows: Sequence[TrainingRow]
    held_out: Sequence[TrainingRow]
    exam: Exam

    @classmethod
    def of(cls, task: Task, folder: Path) -> Bench:
        general = parse_dataset(WorkerSettings().general_examples.read_bytes()).examples
        rows = _rows(task, task.examples, general)
        held_out = _rows(task, [_kept_out(one) for one in task.questions if one.reference], [])
        exam = Exam(
            trials=make_trials(task.questions, task.retriever, task.evaluation),
            probes=parse_probes(TrainingSettings().probes.read_bytes()),
            standards=standards_of(style_of(task.examples, rows), task.examples, task.evaluation),
            settings=task.evaluation,
        )
        return cls(task.base, folder, rows, held_out, exam)

    def tune(self, name: str, rows: Sequence[TrainingRow], settings: LoraSettings) -> tuple[Path, LoraResult]:
        """Train an adapter and merge it: the folder of merged weights and what came of the training."""
        folder = self.folder / name
        result = train_adapter(self.base, rows, self.held_out, settings, folder / "work", lambda _: None, lambda: False)
        return merge(self.base, result.adapter, folder / "weights"), result

    def measured(self, weights: Path) -> Metrics:
        with served(weights, self.folder) as answerer:
            return self.exam.metrics(answerer)

    def verdict(self, weights: Path, trained: LoraResult, baseline: Metrics, tuned: bool = False) -> GateReport:
        """Ask the weights and judge them. `tuned` says that the baseline is a live version, not the base weights."""
        return self.judged(weights, trained, self.measured(weights), baseline, tuned)

    def judged(
        self, weights: Path, trained: LoraResult, candidate: Metrics, baseline: Metrics, tuned: bool = False
    ) -> GateReport:
        """The gate's word on figures that are there already."""
        templates = template_fingerprint(weights), template_fingerprint(self.base)
        losses = trained.loss_before, trained.loss_after
        return judge(Evidence(*losses, candidate, baseline, tuned, *templates), TrainingSettings().gate())


def _rows(task: Task, examples: Sequence[Example], general: Sequence[Example]) -> list[TrainingRow]:
    return build_rows(examples, general, task.retriever, task.mix, random.Random(task.mix.seed))[0]


def _kept_out(question: Question) -> Example:
    messages = (Message("user", question.question), Message("assistant", question.reference))
    return Example(messages, {"document": question.document})
