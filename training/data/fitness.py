"""Checks that refuse a data set before any training, with a reason in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from training.config import ExampleSettings
from training.data.dataset import Dataset, check_count
from training.errors import InvalidDataset
from training.model import Example, turns_of

SHOWN_PAIRS = 5
Method = Literal["supervised", "dpo"]


def check_examples(dataset: Dataset, settings: ExampleSettings, method: Method = "supervised") -> None:
    """Raises InvalidDataset for too few examples, for those of another method, and if all have the same answer."""
    examples = dataset.examples
    check_count(len(examples), settings.min_examples)
    if dataset.has_preferences and method == "supervised":
        raise InvalidDataset(
            "The data set holds preference pairs (a preferred answer and another one). They are for the method 'dpo'; "
            "the method 'supervised' needs conversations with one answer each."
        )
    if not dataset.has_preferences and method == "dpo":
        raise InvalidDataset(
            "The data set holds conversations with one answer each. They are for the method 'supervised'; the method "
            "'dpo' needs preference pairs: a preferred answer and another one."
        )
    if len({distinct(turn.answer) for turn in turns_of(examples)}) < 2:
        raise InvalidDataset(
            f"All {len(examples)} examples have the same answer, that of line {examples[0].line}. A model would learn "
            "to say nothing else; add examples with other answers."
        )


def check_contradictions(
    examples: Sequence[Example], places: Sequence[int], pairs: Sequence[tuple[int, int]], most: float
) -> None:
    """Raises InvalidDataset, with the lines of the pairs, if more than `most` of the examples contradict others."""
    if len(places) <= most * len(examples):
        return
    shown = "; ".join(f"lines {examples[one].line} and {examples[two].line}" for one, two in pairs[:SHOWN_PAIRS])
    more = f"; and {len(pairs) - SHOWN_PAIRS} more pairs" if len(pairs) > SHOWN_PAIRS else ""
    raise InvalidDataset(
        f"{len(places)} of {len(examples)} examples ask the same as another and answer otherwise; at most {most:.0%} "
        f"may (max_contradictory): {shown}{more}. Keep one answer to each question.",
        problems=[f"lines {examples[one].line} and {examples[two].line} contradict each other" for one, two in pairs],
    )


def check_overlap(shared: int, validation: int, most: float) -> None:
    """Raises InvalidDataset if more than `most` of the validation file is also in the training file."""
    if shared > most * validation:
        raise InvalidDataset(
            f"{shared} of the {validation} questions of the validation file stand in the training file, as they are or "
            f"nearly so; at most {most:.0%} may (max_overlap). Give a validation file with other questions, or none: "
            "then a part of the training file is kept out."
        )


def distinct(text: str) -> str:
    """A text without differences of case and white space, which do not make it another text."""
    return " ".join(text.lower().split())
