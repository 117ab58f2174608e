"""The sides of runs that are older than the stored sides.

For a version, its data set is split again as it was split then: groups in random order, the same for the same data and
seed. For a run that was paused at that time, its rows tell the sides. No new split is made here.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from training.data.near_duplicates import question_groups
from training.data.sides import Sides
from training.model import Example, TrainingRow


def former_sides(examples: Sequence[Example], report: Mapping[str, Any], settings: Mapping[str, Any]) -> Sides | None:
    """The sides of a data set, worked out from what was stored of its run: `SplitReport` and `ExampleSettings`, as
    plain values.

    None if they cannot be worked out: examples were removed before the split, or the counts differ from the run's.
    """
    if report.get("validation"):
        return Sides() if not report.get("removed_lines") else None
    if report.get("removed_lines") or settings.get("seed") is None:
        return None
    found = Sides(tuple(sorted(_held_out(examples, settings))))
    counts = len(examples) - len(found.held_out), len(found.held_out)
    return found if counts == (report.get("trained"), report.get("held_out")) else None


def sides_by_rows(
    examples: Sequence[Example], trained: Sequence[TrainingRow], held_out: Sequence[TrainingRow]
) -> Sides:
    """The sides by the rows that a run made. An example in neither kind, or in both, was left out or may not judge."""
    learns, judges = _askers(trained), _askers(held_out)
    sides: dict[tuple[bool, bool], list[int]] = defaultdict(list)
    for place, example in enumerate(examples):
        sides[_is_asked(example, learns), _is_asked(example, judges)].append(place)
    apart = sorted(sides[False, False])
    return Sides(held_out=tuple(sides[False, True]), between=tuple(apart))


def _askers(rows: Sequence[TrainingRow]) -> Mapping[str, list[str]]:
    """The last line of each row's prompt: a prompt ends with its question."""
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        prompt = row.prompt[-1].content
        found[prompt.rpartition("\n")[2].removeprefix("Question: ")].append(prompt)
    return found


def _is_asked(example: Example, prompts: Mapping[str, list[str]]) -> bool:
    question = example.question.strip()
    return any(prompt.endswith(question) for prompt in prompts.get(question.rpartition("\n")[2], ()))


def _held_out(examples: Sequence[Example], settings: Mapping[str, Any]) -> set[int]:
    groups = question_groups(examples, settings["near_duplicate"])
    held_out: set[int] = set()
    for refuses in (False, True):
        ours = [group for group in groups if examples[group[0]].refuses is refuses]
        ours.sort(key=lambda group: examples[group[0]].question)
        random.Random(settings["seed"]).shuffle(ours)
        of_kind = sum(map(len, ours))
        share = settings["max_held_out"] * of_kind / max(1, len(examples))
        wanted, taken = round(min(of_kind * settings["share_held_out"], share)), list[int]()
        for group in ours:
            taken += group if len(taken) + len(group) <= wanted else []
        held_out.update(taken)
    return held_out or set(min(groups, key=len) if settings["share_held_out"] else ())
