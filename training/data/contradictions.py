"""Examples with the same question and contradictory answers. It compares words, not meaning: no model is asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from retrieval.answers.support import objection
from retrieval.metrics import token_f1
from retrieval.text.markers import strip_markers
from retrieval.text.negations import VERDICT
from retrieval.text.numbers import FIGURE
from retrieval.text.words import SIGNS
from training.data.wording import bare
from training.model import Example, turns_of

Groups = Sequence[Sequence[int]]
SAME_ANSWER = 0.4
"""From this token F1 on, two answers count as the same answer in other words."""
MOST_VIEWS = 8
"""The most contradictory answers that are kept for one question; any further answer is compared with these."""


@dataclass(frozen=True)
class Contradictions:
    """`places` of the examples whose answer contradicts another one's to the same question, and the `pairs`."""

    places: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]


def contradictions(examples: Sequence[Example], same: Groups) -> Contradictions:
    """The contradictory ones among examples, each taken for its last answer. `same` has the places of the examples that
    ask the same, group by group.

    Two answers contradict each other if few of their words agree, if each has a figure that the other lacks, if one
    says yes and one no, if one denies what the other says, or if only one refuses.
    """
    places: list[int] = []
    pairs: list[tuple[int, int]] = []
    for group in same:
        views = _views(examples, group)
        if len(views) > 1:
            places += group
            pairs += [(views[0], view) for view in views[1:]]
    return Contradictions(tuple(sorted(places)), tuple(pairs))


def contradictory(examples: Sequence[Example], same: Callable[[Sequence[Example]], Groups]) -> Contradictions:
    """The contradictory ones among examples, by every answer of theirs that is learned.

    `same` finds the places of examples that ask the same; it gets one example for each answer.
    """
    turns = turns_of(examples)
    found = contradictions(turns, same(turns))
    owners = [owner for owner, example in enumerate(examples) for _ in example.turns]
    places = sorted({owners[place] for place in found.places})
    pairs = dict.fromkeys((owners[one], owners[two]) for one, two in found.pairs)
    return Contradictions(tuple(places), tuple(pairs))


def equal_questions(examples: Sequence[Example]) -> list[list[int]]:
    """Places of the examples whose questions are equal apart from case, spaces and punctuation, if there are
    several."""
    together: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, example in enumerate(examples):
        together[tuple(SIGNS.findall(bare(example.whole_prompt)))].append(place)
    return [group for group in together.values() if len(group) > 1]


def agree(one: Example, other: Example) -> bool:
    """Whether two answers to one question can both be right, as far as their words tell."""
    if one.refuses or other.refuses:
        return one.refuses and other.refuses
    first, second = strip_markers(one.answer), strip_markers(other.answer)
    if first == second:
        return True
    verdicts = {found.group(1) for text in (first, second) if (found := VERDICT.match(text.lower()))}
    if len(verdicts) > 1 or _figures_differ(first, second):
        return False
    similar = token_f1(first, second)
    if similar < SAME_ANSWER:
        return False
    return not {"denial", "opposite"} & {objection(first, second), objection(second, first)}


def _figures_differ(first: str, second: str) -> bool:
    mine, theirs = set(FIGURE.findall(first)), set(FIGURE.findall(second))
    return bool(mine - theirs and theirs - mine)


def _views(examples: Sequence[Example], group: Sequence[int]) -> list[int]:
    """One example for each answer that contradicts those before it."""
    views: list[int] = []
    for place in group:
        if len(views) < MOST_VIEWS and not any(agree(examples[view], examples[place]) for view in views):
            views.append(place)
    return views
