"""The last stages of a run: the candidate is served, asked, judged, and published or refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from training import publishing
from training.data import dividing
from training.data.dividing import Asked, Past
from training.errors import Cancelled
from training.judging import evaluation, exam, gate, probes
from training.judging.figures import Metrics
from training.judging.questions import Question
from training.judging.style import StyleProfile
from training.judging.verdict import GateReport
from training.model import turns_of
from training.progress import RunProgress
from training.request import Ports, RunRequest
from training.stages.course import Course
from training.stages.preparing import SplitData
from training.tuning.results import LoraResult
from training.weights.candidate import Candidate
from training.weights.registry import template_fingerprint


@dataclass(frozen=True)
class Scores:
    """The candidate and what is live now, on the same questions; `asked` counts the questions by their source."""

    candidate: Metrics
    baseline: Metrics
    baseline_is_tuned: bool
    asked: Mapping[str, int]


class Judging:
    """Judges a candidate."""

    def __init__(self, request: RunRequest, ports: Ports, course: Course) -> None:
        self._request = request
        self._settings = request.settings
        self._ports = ports
        self._course = course

    @contextmanager
    def discarded_on_cancel(self, candidate: Candidate) -> Iterator[None]:
        try:
            yield
        except Cancelled:
            publishing.discard(candidate, self._ports.versions, self._ports.slots)
            raise
        except BaseException:
            self._ports.slots.unload(candidate.version_id)
            raise

    def load(self, candidate: Candidate) -> None:
        self._course.enter("load", "Loading the candidate into the spare slot")
        self._ports.slots.load(candidate.version_id, self._course.must_stop)

    def evaluate(self, candidate: Candidate, data: SplitData, style: StyleProfile) -> Scores:
        judged_by = self._asked_now(data)
        self._course.enter("evaluate", dividing.asking(judged_by))
        questions = [Question.of(turn) for turn in turns_of(judged_by.examples)]
        settings = self._settings.evaluation
        trials = evaluation.make_trials(questions, self._ports.retriever, settings)
        self._course.tell("evaluate", *evaluation.told(trials))
        standards = exam.standards_of(style, data.trained, settings)
        put = exam.Exam(trials, probes.parse_probes(self._request.probes), standards, settings)
        baseline, baseline_is_tuned = self._ports.slots.baseline()

        def measured(place: int, answerer: evaluation.Answerer) -> Metrics:
            return put.metrics(answerer, self._course.must_stop, self._answers_heard(place), self._ports.judge)

        new = measured(0, self._ports.slots.answerer(candidate.version_id))
        return Scores(new, measured(1, baseline), baseline_is_tuned, judged_by.counts)

    def _asked_now(self, data: SplitData) -> Asked:
        """The questions that judge, without those that a version learned that went live since the run began."""
        past = self._ports.data_sets.past() if self._ports.data_sets else Past()
        asked = data.asked.without(past.learned, self._settings.dataset)
        if fewer := len(data.asked.examples) - len(asked.examples):
            told = f"{fewer} questions are not asked any more: the version that is live now was trained on them."
            self._course.tell("evaluate", told, {"asked": asked.counts})
        return asked

    def _answers_heard(self, place: int) -> Callable[[int, int], None]:
        who = ("the candidate", "what is live now")[place]

        def heard(done: int, total: int) -> None:
            message = f"Asking {who}: {done} of {total} answers"
            self._course.within_stage(RunProgress("evaluate", (place + done / max(1, total)) / 2, message))

        return heard

    def judge(self, candidate: Candidate, adapter: LoraResult, scores: Scores) -> GateReport:
        self._course.enter("gate", "Comparing the candidate with what is live now")
        evidence = gate.Evidence(
            loss_before=adapter.loss_before,
            loss_after=adapter.loss_after,
            candidate=scores.candidate,
            baseline=scores.baseline,
            baseline_is_tuned=scores.baseline_is_tuned,
            template=candidate.template_fingerprint,
            base_template=template_fingerprint(self._request.base),
        )
        return gate.judge(evidence, self._settings.gate)

    def settle(self, candidate: Candidate, scores: Scores, verdict: GateReport) -> bool:
        self._course.enter("publish", verdict.summary)
        versions, slots = self._ports.versions, self._ports.slots
        figures = {
            "candidate": scores.candidate.figures(),
            "baseline": scores.baseline.figures(),
            "asked": scores.asked,
        }
        published = publishing.settle(candidate, figures, verdict, versions, slots)
        message = "Published" if published else verdict.summary
        self._course.end("publish", message, publishing.report(verdict))
        return published
