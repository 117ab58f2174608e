"""The first stages of a run: the data set is read and split, and its rows are made."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from training import frozen
from training.data import dataset, dividing, preparation
from training.data.dataset import Dataset
from training.data.dataset_report import DataSetReport
from training.data.dividing import Asked, KeptOut, Past, Prepared
from training.data.former_split import sides_by_rows
from training.data.sides import Sides, SplitReport
from training.data.splitting import keep_out
from training.errors import InvalidDataset
from training.model import Example, TrainingRow
from training.prompts import rows
from training.prompts.rows import RowsReport
from training.prompts.template import load_tokenizer
from training.request import Ports, RunRequest
from training.stages.course import Course
from training.tuning import lengths

Built = tuple[list[TrainingRow], RowsReport]


@dataclass(frozen=True)
class SplitData:
    """What a run trains on, what it is judged by, and the side of each example."""

    trained: tuple[Example, ...]
    asked: Asked
    report: SplitReport
    sides: Sides = field(default_factory=Sides)

    @property
    def measured(self) -> tuple[Example, ...]:
        """What the loss is measured on: examples of the data set or the validation file, else evaluation questions."""
        return self.asked.held_out + self.asked.validation or self.asked.evaluation


@dataclass(frozen=True)
class Rows:
    """Training rows, and the held-out ones that the loss is measured on."""

    trained: tuple[TrainingRow, ...]
    held_out: tuple[TrainingRow, ...]
    report: RowsReport


class Preparing:
    """Reads the data set and makes the rows."""

    def __init__(self, request: RunRequest, ports: Ports, course: Course) -> None:
        self._request = request
        self._settings = request.settings
        self._ports = ports
        self._course = course
        self._kept_out = KeptOut()

    def read_dataset(self) -> SplitData:
        self._course.enter("dataset", "Reading the data set")
        settings = self._settings.dataset
        tokenizer = load_tokenizer(self._request.base)
        data = dataset.parse_dataset(self._request.data, settings)
        data_set_id = self._examine(data, tokenizer)
        stored = self._ports.data_sets.evaluation_sets() if self._ports.data_sets else {}
        self._kept_out = KeptOut(preparation.read_validation(self._request.validation), stored)
        prepared = self._divide(data)
        if cut := preparation.told_cut(prepared.trained, tokenizer, self._settings.evaluation.max_tokens):
            self._course.tell("dataset", *cut)
        report = SplitReport(
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
        """Split the data set, as an earlier attempt of this run did if there was one."""
        settings, work = self._settings.dataset, self._request.work
        past, former = self._past(), frozen.read_sides(work)
        if former is None and frozen.has_rows(work):
            former = sides_by_rows(data.examples, *frozen.read_rows(work)[:2])
        prepared = dividing.divide(data, self._kept_out, past, settings, former)
        frozen.write_sides(work, prepared.sides)
        self._course.tell("dataset", *dividing.told(prepared, self._kept_out, data, past))
        pairs = prepared.asked.held_out + prepared.asked.validation
        if self._request.method == "dpo" and settings.share_held_out and not pairs:
            raise InvalidDataset(
                "No preference pair is held out, so the loss cannot be measured: an earlier version was trained on all "
                "of them, or on near-copies. Add pairs that ask something else, or give a validation file."
            )
        return prepared

    def _past(self) -> Past:
        """What earlier runs did. General examples count as trained on; those of an earlier attempt count as learned."""
        past = self._ports.data_sets.past() if self._ports.data_sets else Past()
        known = replace(past.known, trained=(*past.known.trained, *self._general_examples()))
        if not frozen.has_rows(self._request.work):
            return replace(past, known=known)
        general = dividing.general_questions(frozen.read_rows(self._request.work)[0])
        return replace(past, known=known, learned=(*past.learned, *dividing.asking_these(general)))

    def _examine(self, data: Dataset, tokenizer: Any) -> str:
        """Report on the data set and store it with its report, or refuse it. Returns its id, if it is stored."""
        kept: list[str] = []

        def on_report(report: DataSetReport) -> None:
            if self._ports.data_sets:
                kept.append(self._ports.data_sets.keep(data, report))
            figures = {"data_set_id": "".join(kept), "sha256": data.sha256, **report.figures()}
            self._course.tell("dataset", " ".join(report.summary), figures)

        count, most = preparation.count_with(tokenizer), self._settings.lora.max_length
        method = self._request.method
        preparation.examine_and_check(data, self._settings.dataset, count, most, on_report, method)
        return "".join(kept)

    def make_rows(self, data: SplitData) -> Rows:
        """Make the rows. Rows of an earlier attempt of this run are used unchanged."""
        if frozen.has_rows(self._request.work):
            return Rows(*frozen.read_rows(self._request.work))
        self._course.enter("rows", f"Making prompts for {len(data.trained)} examples with the live retriever")
        trained, report = self._build_rows(data.trained, self._general(data))
        held_out, _ = self._build_rows(data.measured, [])
        self._measure(trained, data)
        frozen.write_rows(self._request.work, trained, held_out, report)
        return Rows(tuple(trained), tuple(held_out), report)

    def _measure(self, made: Sequence[TrainingRow], data: SplitData) -> None:
        """Report which rows are too long, and add this to the data set's report; raises if all rows are."""
        settings = self._settings.lora
        found = lengths.measure(made, load_tokenizer(self._request.base), settings.max_length)
        self._course.tell("rows", found.summary, found.figures())
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
