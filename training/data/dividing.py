"""Separates what a run learns from what judges it: the sides of its examples, a validation file, evaluation data sets,
and what earlier versions learned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from retrieval.model import Message
from training.config import ExampleSettings
from training.data.dataset import Dataset, check_count
from training.data.fitness import check_overlap
from training.data.near_duplicates import copies_of, question_groups
from training.data.sides import Sides
from training.data.splitting import Known, fewest, keep_out, part
from training.errors import InvalidDataset
from training.model import Example, TrainingRow

SHOWN_LINES = 20
PLACES = {"held_out": "the held-out examples", "validation": "the validation file"}


@dataclass(frozen=True)
class KeptOut:
    """What a run must not learn: the validation file, and the workspace's evaluation data sets by name."""

    validation: tuple[Example, ...] = ()
    evaluation: Mapping[str, Sequence[Example]] = field(default_factory=dict)

    @property
    def examples(self) -> list[Example]:
        return [*self.validation, *(one for examples in self.evaluation.values() for one in examples)]


@dataclass(frozen=True)
class Past:
    """What earlier runs decided, and what was `learned` by the weights that this run is compared with or starts from.

    `unknown` names those of these weights for which no record says what they were trained on.
    """

    known: Known = field(default_factory=Known)
    learned: tuple[Example, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asked:
    """The questions that judge, by their source. `held_out` are the data set's own, `validation` the file's."""

    held_out: tuple[Example, ...] = ()
    validation: tuple[Example, ...] = ()
    evaluation: tuple[Example, ...] = ()

    @property
    def examples(self) -> tuple[Example, ...]:
        return self.held_out + self.validation + self.evaluation

    @property
    def counts(self) -> dict[str, int]:
        return {name: len(getattr(self, name)) for name in ("held_out", "validation", "evaluation")}

    def without(self, learned: Sequence[Example], settings: ExampleSettings) -> Asked:
        """These questions without those that ask the same as any of these examples, or a near-copy of it."""
        kept = keep_out(self.examples, learned, settings)[0]
        left = {id(one) for one in kept}
        found = {name: tuple(one for one in getattr(self, name) if id(one) in left) for name in self.counts}
        return Asked(**found)


@dataclass(frozen=True)
class Prepared:
    """A run's examples. `left_out` has the lines of those that would have judged but were learned before, by their
    source: held_out, validation, or the name of an evaluation data set.
    """

    trained: tuple[Example, ...]
    asked: Asked
    sides: Sides
    left_out: Mapping[str, tuple[int, ...]]


def divide(
    dataset: Dataset, kept_out: KeptOut, past: Past, settings: ExampleSettings, sides: Sides | None = None
) -> Prepared:
    """Separate what judges the model from what it learns.

    With a validation file, the model is asked at most `max_validation` of its questions, and all of it is kept out of
    training. Without one, a part of the data set is held out, and at most `max_held_out` of that are asked. Evaluation
    questions are always kept out, and at most `max_validation` of them are asked too. No question is asked that was
    learned before. `sides` are the sides that an earlier attempt of the run used.

    Raises InvalidDataset if too much of the validation file is in the training file, if too few examples are left, or
    if there is nothing to judge by.
    """
    sides = sides or _sides(dataset, kept_out, past, settings)
    trained = sides.trained(dataset.examples)
    learned = [*past.learned, *trained]
    left_out: dict[str, tuple[int, ...]] = {}

    def judging(name: str, examples: Sequence[Example]) -> list[Example]:
        kept, known = keep_out(examples, learned, settings)
        left_out.update({name: tuple(one.line for one in known)} if known else {})
        return kept

    held_out = judging("held_out", [dataset.examples[place] for place in sides.held_out])
    validation = judging("validation", kept_out.validation)
    evaluation = [one for name, examples in kept_out.evaluation.items() for one in judging(name, examples)]
    asked = Asked(
        tuple(fewest(held_out, settings.max_held_out)),
        tuple(fewest(validation, settings.max_validation)),
        tuple(fewest(evaluation, settings.max_validation)),
    )
    if not trained:
        raise InvalidDataset(
            f"None of the {len(dataset.examples)} examples may be trained on: earlier runs held them out, to judge by. "
            "Add examples that ask something else."
        )
    if settings.share_held_out and not asked.examples:
        raise InvalidDataset(_nothing_to_ask(dataset, kept_out, settings))
    return Prepared(trained, asked, sides, left_out)


def _sides(dataset: Dataset, kept_out: KeptOut, past: Past, settings: ExampleSettings) -> Sides:
    examples = dataset.examples
    if kept_out.validation:
        shared = keep_out(kept_out.validation, examples, settings)[1]
        check_overlap(len(shared), len(kept_out.validation), settings.max_overlap)
    removed = copies_of(examples, kept_out.examples, settings.near_duplicate) if kept_out.examples else []
    kept = sorted(set(range(len(examples))) - set(removed))
    if removed:
        _check_left(len(kept), len(removed), settings)
    found = Sides() if kept_out.validation else part([examples[place] for place in kept], past.known, settings)
    held_out, between = ([kept[place] for place in places] for places in (found.held_out, found.between))
    return Sides(tuple(held_out), tuple(removed), tuple(between))


def _nothing_to_ask(dataset: Dataset, kept_out: KeptOut, settings: ExampleSettings) -> str:
    count = len(dataset.examples)
    if kept_out.validation:
        return (
            f"All {len(kept_out.validation)} questions of the validation file, or near-copies, were learned by the "
            "live version or the one begun with, so none can judge the result. Give another validation file, or none."
        )
    if len(question_groups(dataset.examples, settings.near_duplicate)) == 1:
        return (
            f"All {count} examples ask one question or near-copies of it, so none can be kept out to judge the "
            "result by. Add examples that ask something else, or give a validation file."
        )
    return (
        f"None of the {count} examples can judge the result, since earlier versions were trained on all of them or on "
        "near-copies, nor does an evaluation data set ask anything else. Add examples that ask something else, give "
        "a validation file that no version was trained on, or keep a data set with the use 'evaluation'."
    )


def told(prepared: Prepared, kept_out: KeptOut, dataset: Dataset, past: Past) -> tuple[str, dict[str, Any]]:
    """What was kept apart, as an event: sentences and their figures."""
    asked, sides = prepared.asked.counts, prepared.sides
    removed, between = (_lines(dataset, places) for places in (sides.removed, sides.between))
    outside = {"validation": len(kept_out.validation), "evaluation": len(kept_out.examples) - len(kept_out.validation)}
    figures = {
        "trained": len(prepared.trained),
        "held_out": len(sides.held_out),
        **outside,
        "asked": asked,
        "removed_lines": removed,
        "between_lines": between,
        "left_out_lines": {name: list(lines) for name, lines in prepared.left_out.items()},
        "unknown": list(past.unknown),
    }
    found = [f"{len(prepared.trained)} examples are trained on, {len(sides.held_out)} are held out."]
    found += [f"Asked are {_counted(asked)}."]
    if not removed:
        found.append("None of the training file asks what the model is judged by.")
    else:
        found.append(f"{len(removed)} were removed, since they ask what the model is judged by: {_shown(removed)}.")
    if between:
        found.append(
            f"{len(between)} are near-copies of a question that is trained on and of one that is held out, and are on "
            f"neither side: {_shown(between)}."
        )
    for name, lines in prepared.left_out.items():
        where = PLACES.get(name, f"the evaluation data set '{name}'")
        found.append(
            f"{len(lines)} of {where} are not asked, since the live version or the one begun with was trained on them "
            f"or on near-copies: {_shown(lines)}."
        )
    found += [f"What {name} was trained on is not kept any more, so it may be asked that." for name in past.unknown]
    return " ".join(found), figures


def _counted(asked: Mapping[str, int]) -> str:
    """The kinds of the three that occur, in words."""
    said = [f"{count} of {PLACES.get(name, 'the evaluation data sets')}" for name, count in asked.items() if count]
    return " and ".join(said) or "none"


def general_questions(rows: Sequence[TrainingRow]) -> list[str]:
    """The questions of the general examples that were trained on."""
    return sorted({row.prompt[-1].content for row in rows if row.kind == "general"})


def asking_these(questions: Sequence[str]) -> tuple[Example, ...]:
    """Questions as examples, so that they can be compared with others."""
    return tuple(Example((Message("user", one), Message("assistant", "")), {"document": None}) for one in questions)


def asking(asked: Asked) -> str:
    """What a candidate is asked, in words."""
    return f"Asking {len(asked.examples)} questions: {_counted(asked.counts)}"


def _lines(dataset: Dataset, places: Sequence[int]) -> list[int]:
    return [dataset.examples[place].line for place in places]


def _shown(lines: Sequence[int]) -> str:
    more = " and more" if len(lines) > SHOWN_LINES else ""
    return f"line{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines[:SHOWN_LINES]))}{more}"


def _check_left(kept: int, removed: int, settings: ExampleSettings) -> None:
    try:
        check_count(kept, settings.min_examples)
    except InvalidDataset as error:
        raise InvalidDataset(
            f"{removed} examples ask what the model is judged by (the validation file or the workspace's evaluation "
            f"questions) and may not be trained on; {kept} are left, at least {settings.min_examples} are needed."
        ) from error
