"""What is trained on and what a model is judged by: nothing of the one may stand in the other."""

from __future__ import annotations

import random
from collections.abc import Sequence

from training.config import DatasetSettings
from training.errors import InvalidDataset
from training.model import Dataset, Example
from training.near_duplicates import copies_of, question_groups


def split(dataset: Dataset, settings: DatasetSettings) -> tuple[list[Example], list[Example]]:
    """Training and held-out examples, the same for the same data and seed.

    Refusals and answers are split in the same proportion. Examples whose questions are near-copies stay on one side, so
    that nothing held out was trained on. Raises InvalidDataset where all are near-copies of one question.
    """
    examples = dataset.examples
    found = question_groups(examples, settings.near_duplicate)
    held_out: set[int] = set()
    for refuses in (False, True):
        ours = [group for group in found if examples[group[0]].refuses is refuses]
        ours.sort(key=lambda group: examples[group[0]].question)
        random.Random(settings.seed).shuffle(ours)
        of_kind = sum(map(len, ours))
        share = settings.max_held_out * of_kind / max(1, len(examples))
        held_out.update(_fitting(ours, round(min(of_kind * settings.share_held_out, share))))
    if not held_out and settings.share_held_out:
        held_out.update(_smallest(found))
    train = [example for place, example in enumerate(examples) if place not in held_out]
    return train, [example for place, example in enumerate(examples) if place in held_out]


def keep_out(
    examples: Sequence[Example], kept_out: Sequence[Example], settings: DatasetSettings
) -> tuple[list[Example], list[Example]]:
    """The examples without those that ask what is kept out or a near-copy of it, and those."""
    copies = set(copies_of(examples, kept_out, settings.near_duplicate)) if kept_out else set()
    kept = [example for place, example in enumerate(examples) if place not in copies]
    return kept, [example for place, example in enumerate(examples) if place in copies]


def sample(examples: Sequence[Example], most: int, seed: int) -> list[Example]:
    """At most so many of the examples, in their order, the same for the same seed."""
    chosen = sorted(random.Random(seed).sample(range(len(examples)), min(most, len(examples))))
    return [examples[place] for place in chosen]


def _fitting(found: Sequence[list[int]], wanted: int) -> list[int]:
    """Whole groups, as long as they fit."""
    taken: list[int] = []
    for group in found:
        if len(taken) + len(group) <= wanted:
            taken += group
    return taken


def _smallest(found: Sequence[list[int]]) -> list[int]:
    if len(found) == 1:
        raise InvalidDataset(
            f"All {len(found[0])} examples ask one question or near-copies of it, so none can be kept out to judge the "
            "result by. Add examples that ask something else, or give a validation file."
        )
    return min(found, key=len, default=[])
