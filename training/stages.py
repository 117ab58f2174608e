"""The stages of one run, each with its progress and its place to stop."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from training.config import PreferenceSettings
from training.data import dataset, dividing, frozen, preparation
from training.data.dataset_report import DataSetReport
from training.data.dividing import Asked, KeptOut, Past, Prepared
from training.data.former_split import sides_by_rows
from training.data.splitting import keep_out
from training.errors import Cancelled, DamagedWeights, InvalidDataset
from training.judging import evaluation, exam, gate, probes
from training.judging.style import StyleProfile
from training.model import (
    STAGES,
    Dataset,
    DatasetReport,
    Example,
    GateReport,
    LoraResult,
    Metrics,
    ParityReport,
    Progress,
    Question,
    RowsReport,
    RunProgress,
    Sides,
    StageName,
    TrainingRow,
    turns_of,
)
from training.model import Cancelled as IsCancelled
from training.prompts import rows
from training.prompts.template import load_tokenizer
from training.request import Ports, RunRequest
from training.tuning import distributed, lengths, lora, preferences
from training.weights import candidate as publish
from training.weights import merge
from training.weights.candidate import Candidate
from training.weights.registry import template_fingerprint

SPANS: dict[StageName, tuple[float, float]] = {
    "dataset": (0.0, 0.01), "rows": (0.01, 0.04), "lora": (0.04, 0.66), "merge": (0.66, 0.68), "parity": (0.68, 0.74),
    "candidate": (0.74, 0.75), "load": (0.75, 0.86), "evaluate": (0.86, 0.98), "gate": (0.98, 0.99),
    "publish": (0.99, 1.0),
}  # fmt: skip
"""Each stage's part of the whole, as timed on the sample data on two cores."""
Built = tuple[list[TrainingRow], RowsReport]
NOT_FIGURES = ("adapter", "train_losses", "history")


@dataclass(frozen=True)
class SplitData:
    """What a run trains on, what it is judged by, and the side of each example."""

    trained: tuple[Example, ...]
    asked: Asked
    report: DatasetReport
    sides: Sides = field(default_factory=Sides)

    @property
    def measured(self) -> tuple[Example, ...]:
        """What the loss is measured on: the data set's own or the validation file's, else evaluation questions."""
        return self.asked.held_out + self.asked.validation or self.asked.evaluation


@dataclass(frozen=True)
class Rows:
    """Training rows, and the held-out ones that the loss is measured on."""

    trained: tuple[TrainingRow, ...]
    held_out: tuple[TrainingRow, ...]
    report: RowsReport


@dataclass(frozen=True)
class Scores:
    """The candidate and what is live now, on the same questions; `asked` counts them by where they are from."""

    candidate: Metrics
    baseline: Metrics
    baseline_is_tuned: bool
    asked: Mapping[str, int]


class Stages:
    """The stages of one run, each with its progress."""

    def __init__(self, request: RunRequest, ports: Ports, progress: Progress, cancelled: IsCancelled) -> None:
        self._request = request
        self._settings = request.settings
        self._ports = ports
        self._progress = progress
        self._cancelled = cancelled
        self._kept_out = KeptOut()

    def read_dataset(self) -> SplitData:
        self._enter("dataset", "Reading the data set")
        settings = self._settings.dataset
        tokenizer = load_tokenizer(self._request.base)
        data = dataset.parse_dataset(self._request.data, settings)
        data_set_id = self._examine(data, tokenizer)
        stored = self._ports.data_sets.evaluation_sets() if self._ports.data_sets else {}
        self._kept_out = KeptOut(preparation.read_validation(self._request.validation), stored)
        prepared = self._divide(data)
        if cut := preparation.told_cut(prepared.trained, tokenizer, self._settings.evaluation.max_tokens):
            self._tell("dataset", *cut)
        report = DatasetReport(
            examples=len(data.examples),
            trained=len(prepared.trained),
            held_out=len(prepared.sides.held_out),
            refusals=sum(example.refuses for example in data.examples),
            sha256=data.sha256,
            data_set_id=data_set_id,
            validation=len(self._kept_out.validation),
            removed_lines=tuple(data.examples[place].line for place in prepared.sides.removed),
            between_lines=tuple(data.examples[place].line for place in prepared.sides.between),
            asked=prepared.asked.counts,
        )
        return SplitData(prepared.trained, prepared.asked, report, prepared.sides)

    def _divide(self, data: Dataset) -> Prepared:
        """Part the data set, as an earlier try of this run did."""
        settings, work = self._settings.dataset, self._request.work
        past, former = self._past(), frozen.read_sides(work)
        if former is None and frozen.has_rows(work):
            former = sides_by_rows(data.examples, *frozen.read_rows(work)[:2])
        prepared = dividing.divide(data, self._kept_out, past, settings, former)
        frozen.write_sides(work, prepared.sides)
        self._tell("dataset", *dividing.told(prepared, self._kept_out, data, past))
        pairs = prepared.asked.held_out + prepared.asked.validation
        if self._request.method == "dpo" and settings.share_held_out and not pairs:
            raise InvalidDataset(
                "No preference pair is held out, so the loss cannot be measured: an earlier version was trained on all "
                "of them, or on near-copies. Add pairs that ask something else, or give a validation file."
            )
        return prepared

    def _past(self) -> Past:
        """What earlier runs did. General examples count as trained on; what an earlier try had of them as learned."""
        past = self._ports.data_sets.past() if self._ports.data_sets else Past()
        known = replace(past.known, trained=(*past.known.trained, *self._general_examples()))
        if not frozen.has_rows(self._request.work):
            return replace(past, known=known)
        general = dividing.general_questions(frozen.read_rows(self._request.work)[0])
        return replace(past, known=known, learned=(*past.learned, *dividing.asking_these(general)))

    def _examine(self, data: Dataset, tokenizer: Any) -> str:
        """Report on the data set, keep it frozen with its report, or refuse it; its id, where it is kept."""
        kept: list[str] = []

        def on_report(report: DataSetReport) -> None:
            if self._ports.data_sets:
                kept.append(self._ports.data_sets.keep(data, report))
            figures = {"data_set_id": "".join(kept), "sha256": data.sha256, **report.figures()}
            self._tell("dataset", " ".join(report.summary), figures)

        count, most = preparation.count_with(tokenizer), self._settings.lora.max_length
        method = self._request.method
        preparation.examine_and_check(data, self._settings.dataset, count, most, on_report, method)
        return "".join(kept)

    def make_rows(self, data: SplitData) -> Rows:
        """Rows that an earlier try of this run made are taken as they are."""
        if frozen.has_rows(self._request.work):
            return Rows(*frozen.read_rows(self._request.work))
        self._enter("rows", f"Making prompts for {len(data.trained)} examples with the live retriever")
        trained, report = self._build_rows(data.trained, self._general(data))
        held_out, _ = self._build_rows(data.measured, [])
        self._measure(trained, data)
        frozen.write_rows(self._request.work, trained, held_out, report)
        return Rows(tuple(trained), tuple(held_out), report)

    def _measure(self, made: Sequence[TrainingRow], data: SplitData) -> None:
        """Tell which rows are too long, and put it into the data set's report; raises where all are."""
        settings = self._settings.lora
        found = lengths.measure(made, load_tokenizer(self._request.base), settings.max_length)
        self._tell("rows", found.summary, found.figures())
        if self._ports.data_sets:
            self._ports.data_sets.keep_rows(data.report.data_set_id, {**found.figures(), "summary": found.summary})

    def _build_rows(self, examples: Sequence[Example], general: Sequence[Example]) -> Built:
        mix, retriever = self._settings.mix, self._ports.retriever
        rng = random.Random(mix.seed)
        if self._request.method == "dpo":
            return rows.build_preference_rows(examples, retriever, mix, rng)
        return rows.build_rows(examples, general, retriever, mix, rng)

    def _general(self, data: SplitData) -> list[Example]:
        """The general examples, without those that ask what the model is judged by."""
        judged_by = [*data.asked.examples, *self._kept_out.examples]
        return keep_out(self._general_examples(), judged_by, self._settings.dataset)[0]

    def _general_examples(self) -> tuple[Example, ...]:
        if not self._request.general.strip():
            return ()
        return dataset.parse_dataset(self._request.general, replace(self._settings.dataset, min_examples=1)).examples

    def learn_style(self, data: SplitData, made: Rows) -> StyleProfile:
        return exam.style_of(data.trained, made.trained)

    def train(self, made: Rows) -> LoraResult:
        self._enter("lora", f"Tuning on {len(made.trained)} rows")
        request, settings, told = self._request, self._settings.lora, (self._within_stage, self._cancelled)
        if request.method == "dpo":
            pairs, held_out = preferences.pairs_of(made.trained), preferences.pairs_of(made.held_out)
            chosen, train = PreferenceSettings(beta=self._settings.beta, lora=settings), preferences.train_preferences
            return distributed.run(train, settings.hardware, request.base, pairs, held_out, chosen, request.work, *told)
        rows, held = made.trained, made.held_out
        train_adapter, hardware = lora.train_adapter, settings.hardware
        return distributed.run(train_adapter, hardware, request.base, rows, held, settings, request.work, *told)

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """A folder beside the versions that is gone afterwards, unless it has become a version."""
        folder = self._request.versions / f".draft-{self._request.version_id}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def merge_weights(self, adapter: LoraResult, draft: Path) -> None:
        self._enter("merge", "Merging the adapter into the base weights")
        merge.merge(self._request.base, adapter.adapter, draft)

    def check_parity(self, adapter: LoraResult, made: Rows, draft: Path) -> ParityReport:
        self._enter("parity", "Comparing merged weights with the adapter")
        compared = [*made.trained, *made.held_out]
        report = merge.parity(self._request.base, adapter.adapter, draft, compared, self._settings.parity)
        if not report.passed:
            raise DamagedWeights(report.message)
        return report

    def record_candidate(
        self, draft: Path, data: SplitData, made: Rows, style: StyleProfile, adapter: LoraResult, parity: ParityReport
    ) -> Candidate:
        self._enter("candidate", "Recording the candidate")
        request = self._request
        about = self._about(data, made, adapter, parity)
        target = request.versions / request.version_id
        candidate = publish.close_version(draft, target, request.base_model, data.report.sha256, style, about)
        try:
            self._ports.versions.candidate(candidate)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
        return candidate

    def _about(self, data: SplitData, made: Rows, adapter: LoraResult, parity: ParityReport) -> dict[str, Any]:
        figures = {name: value for name, value in asdict(adapter).items() if name not in NOT_FIGURES}
        return {
            "settings": asdict(self._settings),
            "dataset": asdict(data.report),
            "sides": asdict(data.sides),
            "general": dividing.general_questions(made.trained),
            "rows": asdict(made.report),
            "passage_files": sorted({file_id for row in made.trained for file_id in row.file_ids}),
            "lora": {**figures, "tokens_per_second": round(adapter.tokens_per_second, 1)},
            "parity": asdict(parity),
        }

    @contextmanager
    def discarded_on_cancel(self, candidate: Candidate) -> Iterator[None]:
        try:
            yield
        except Cancelled:
            publish.discard(candidate, self._ports.versions, self._ports.slots)
            raise
        except BaseException:
            self._ports.slots.unload(candidate.version_id)
            raise

    def load(self, candidate: Candidate) -> None:
        self._enter("load", "Loading the candidate into the spare slot")
        self._ports.slots.load(candidate.version_id, self._cancelled)

    def evaluate(self, candidate: Candidate, data: SplitData, style: StyleProfile) -> Scores:
        judged_by = self._asked_now(data)
        self._enter("evaluate", dividing.asking(judged_by))
        questions = [Question.of(turn) for turn in turns_of(judged_by.examples)]
        settings = self._settings.evaluation
        trials = evaluation.make_trials(questions, self._ports.retriever, settings)
        self._tell("evaluate", *evaluation.told(trials))
        standards = exam.standards_of(style, data.trained, settings)
        put = exam.Exam(trials, probes.parse_probes(self._request.probes), standards, settings)
        baseline, baseline_is_tuned = self._ports.slots.baseline()

        def measured(place: int, answerer: evaluation.Answerer) -> Metrics:
            return put.metrics(answerer, self._cancelled, self._answers_heard(place), self._ports.judge)

        new = measured(0, self._ports.slots.answerer(candidate.version_id))
        return Scores(new, measured(1, baseline), baseline_is_tuned, judged_by.counts)

    def _asked_now(self, data: SplitData) -> Asked:
        """What judges, less what was learned by a version that went live since the run began."""
        past = self._ports.data_sets.past() if self._ports.data_sets else Past()
        asked = data.asked.without(past.learned, self._settings.dataset)
        if fewer := len(data.asked.examples) - len(asked.examples):
            told = f"{fewer} questions are not asked any more: the version that is live now was trained on them."
            self._tell("evaluate", told, {"asked": asked.counts})
        return asked

    def _answers_heard(self, place: int) -> Callable[[int, int], None]:
        who = ("the candidate", "what is live now")[place]

        def heard(done: int, total: int) -> None:
            message = f"Asking {who}: {done} of {total} answers"
            self._within_stage(RunProgress("evaluate", (place + done / max(1, total)) / 2, message))

        return heard

    def judge(self, candidate: Candidate, adapter: LoraResult, scores: Scores) -> GateReport:
        self._enter("gate", "Comparing the candidate with what is live now")
        evidence = gate.Evidence(
            lora=adapter,
            candidate=scores.candidate,
            baseline=scores.baseline,
            baseline_is_tuned=scores.baseline_is_tuned,
            template=candidate.template_fingerprint,
            base_template=template_fingerprint(self._request.base),
        )
        return gate.judge(evidence, self._settings.gate)

    def settle(self, candidate: Candidate, scores: Scores, verdict: GateReport) -> bool:
        self._enter("publish", verdict.summary)
        versions, slots = self._ports.versions, self._ports.slots
        figures = {
            "candidate": scores.candidate.figures(),
            "baseline": scores.baseline.figures(),
            "asked": scores.asked,
        }
        published = publish.settle(candidate, figures, verdict, versions, slots)
        message = "Published" if published else verdict.summary
        self._progress(RunProgress("publish", 1.0, message, publish.report(verdict)))
        return published

    def _enter(self, stage: StageName, message: str) -> None:
        if self._cancelled():
            raise Cancelled(
                f"The run was cancelled before the stage {stage!r} ({STAGES.index(stage) + 1} of {len(STAGES)})."
            )
        self._progress(RunProgress(stage, SPANS[stage][0], message))

    def _tell(self, stage: StageName, message: str, figures: dict[str, Any]) -> None:
        self._progress(RunProgress(stage, SPANS[stage][0], message, figures, tells=True))

    def _within_stage(self, step: RunProgress) -> None:
        start, end = SPANS[step.stage]
        self._progress(replace(step, fraction=start + (end - start) * step.fraction))
