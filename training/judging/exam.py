"""The exam for a model, made once and given to several: questions, probes, and the standards for the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from training.config import EvaluationSettings
from training.judging.evaluation import Answerer, Judge, OnAnswer, evaluate
from training.judging.figures import Metrics
from training.judging.probes import Probe
from training.judging.repetition import TrainedText
from training.judging.scoring import Standards, Trial
from training.judging.style import StyleProfile
from training.model import Example, TrainingRow, turns_of
from training.progress import MustStop


@dataclass(frozen=True)
class Exam:
    """Everything for an evaluation except the model that is asked."""

    trials: Sequence[Trial]
    probes: Sequence[Probe]
    standards: Standards
    settings: EvaluationSettings

    def without_passages(self) -> Exam:
        """The same questions as the modes without retrieval ask them, each once."""
        return replace(self, trials=[replace(trial, passages=()) for trial in self.trials if not trial.removed])

    def metrics(
        self,
        answerer: Answerer,
        must_stop: MustStop = lambda: False,
        on_answer: OnAnswer = lambda _done, _total: None,
        judge: Judge | None = None,
    ) -> Metrics:
        """The figures of a model that is asked all of it. Raises Cancelled, as `evaluate` does."""
        return evaluate(self.trials, self.probes, answerer, self.standards, self.settings, must_stop, on_answer, judge)


def style_of(examples: Sequence[Example], rows: Sequence[TrainingRow]) -> StyleProfile:
    """The style of the examples' answers, compared with the prompts of the rows that are made of them. Refusals are
    left out if there are other answers.
    """
    turns = turns_of(examples)
    answers = [turn.answer for turn in turns if not turn.refuses] or [turn.answer for turn in turns]
    return StyleProfile.fit(answers, [row.prompt[-1].content for row in rows if row.kind != "general"])


def standards_of(style: StyleProfile, trained: Sequence[Example], settings: EvaluationSettings) -> Standards:
    """What a model that was trained on these examples is measured by."""
    return Standards(style, TrainedText(turns_of(trained), settings.repeat_words))
