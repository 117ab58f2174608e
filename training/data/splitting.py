"""Splits a data set into what is trained on and what judges a model: the two never overlap, and no example changes
sides.

**The rule.** Questions that are near-copies of one another are a group. A group is held out if its key is in the lowest
`share_held_out` of all keys. The key is the SHA-256 of the smallest SHA-256 of its members' wordings. So neither the
order nor the other examples of a data set change it, and a large group is held out no more often than a small one.

**The memory.** A near-copy that is added or removed may change its group's key, so the decisions of earlier runs come
before the rule: a question that they trained on is trained on, one that they held out is held out, and a new near-copy
of either joins it. Trained comes before held out, since nothing can be unlearned. A near-copy of both is neither
trained on nor asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from training.config import ExampleSettings
from training.data.near_duplicates import Asking, copies_of
from training.data.sides import Sides
from training.data.wording import Wording
from training.model import Example

KEYS = 2**256
ENOUGH_GROUPS = 10
"""If there are at least this many groups of refusals, or of answers, at least one of them is held out."""


@dataclass(frozen=True)
class Known:
    """Questions whose side is already decided: what was trained on, and what was held out of training."""

    trained: tuple[Example, ...] = ()
    held_out: tuple[Example, ...] = ()


def part(examples: Sequence[Example], known: Known, settings: ExampleSettings) -> Sides:
    """The side of each example. If the rule holds out no new group and none is held out from earlier, the smallest new
    group is held out. The same holds for refusals and for answers, if there are ENOUGH_GROUPS of the kind.

    Nothing is held out if all were trained on before, if all are near-copies of one question, or if the share is 0.
    """
    if not settings.share_held_out:
        return Sides()
    return _Parting(examples, known, settings).sides()


def keep_out(
    examples: Sequence[Example], kept_out: Sequence[Example], settings: ExampleSettings
) -> tuple[list[Example], list[Example]]:
    """The examples without those that ask what is kept out or a near-copy of it, and the examples that were removed."""
    copies = set(copies_of(examples, kept_out, settings.near_duplicate)) if examples and kept_out else set()
    kept = [example for place, example in enumerate(examples) if place not in copies]
    return kept, [example for place, example in enumerate(examples) if place in copies]


def fewest(examples: Sequence[Example], most: int) -> list[Example]:
    """At most this many of the examples, in their order: those with the smallest keys, refusals in proportion.

    A chosen example stays chosen when others are added, unless those have smaller keys.
    """
    if len(examples) <= most:
        return list(examples)
    kinds = [[place for place, one in enumerate(examples) if one.refuses is refuses] for refuses in (False, True)]
    few, many = sorted(kinds, key=len)
    share = min(len(few), max(1, round(most * len(few) / len(examples)))) if most > 1 else 0
    chosen: list[int] = []
    for places, wanted in ((few, share), (many, most - share)):
        chosen += sorted(places, key=lambda place: (key(examples[place]), examples[place].answer))[:wanted]
    return [examples[place] for place in sorted(chosen)]


def key(example: Example) -> int:
    """The SHA-256 of what an example asks, in the form in which questions are compared."""
    return _number(" ".join(Wording.of(example.asked).words).encode())


def group_key(examples: Sequence[Example]) -> int:
    """The key of a group: the smallest key of its members, hashed once more, since the smallest of many is always
    small.
    """
    return _number(min(map(key, examples)).to_bytes(32, "big"))


def _number(content: bytes) -> int:
    return int.from_bytes(hashlib.sha256(content).digest(), "big")


class _Parting:
    """The sides of some examples, worked out step by step. `_side` has the side of each place: trained, held out,
    between.
    """

    def __init__(self, examples: Sequence[Example], known: Known, settings: ExampleSettings) -> None:
        self._examples, self._settings = examples, settings
        self._asking = Asking.of([*examples, *known.trained, *known.held_out], settings.near_duplicate)
        first, second = len(examples), len(examples) + len(known.trained)
        last = second + len(known.held_out)
        self._trained, self._held_out = self._numbers(range(first, second)), self._numbers(range(second, last))
        self._trained_places, self._held_out_places, self._between = set[int](), set[int](), set[int]()
        self._new: list[list[int]] = []

    def sides(self) -> Sides:
        self._remember()
        self._apply_rule()
        self._part_copies()
        self._hold_out_some()
        self._part_copies()
        return Sides(tuple(sorted(self._held_out_places)), between=tuple(sorted(self._between)))

    def _remember(self) -> None:
        """Settle what is known by its wording, then its near-copies, then theirs, until none is left."""
        unknown: list[int] = []
        for place in range(len(self._examples)):
            number = self._asking.own[place][0]
            if number in self._trained:
                self._trained_places.add(place)
            elif number in self._held_out:
                self._held_out_places.add(place)
            else:
                unknown.append(place)
        left = self._joined(unknown)
        while len(left) < len(unknown):
            unknown, left = left, self._joined(left)
        self._new = self._asking.groups(left)

    def _joined(self, unknown: Sequence[int]) -> list[int]:
        """The places that are near-copies of nothing settled; the others take the side of what they are
        near-copies of."""
        trained = self._trained | self._numbers(self._trained_places)
        held_out = self._held_out | self._numbers(self._held_out_places)
        left: list[int] = []
        for place in unknown:
            around = self._asking.around(place)
            if around & trained:
                (self._between if around & held_out else self._trained_places).add(place)
            else:
                (self._held_out_places.add if around & held_out else left.append)(place)
        return left

    def _apply_rule(self) -> None:
        """A group that is larger than the share by itself is trained on: otherwise too little would be left."""
        limit, largest = int(self._settings.share_held_out * KEYS), self._settings.share_held_out * len(self._examples)
        for group in self._new:
            is_held_out = self._key(group) < limit and len(group) <= max(1.0, largest)
            (self._held_out_places if is_held_out else self._trained_places).update(group)

    def _part_copies(self) -> None:
        """Near-copies of what is trained on are not asked, for whatever reason they came to the other side."""
        trained = self._trained | self._numbers(self._trained_places)
        copies = {place for place in self._held_out_places if self._asking.around(place) & trained}
        self._held_out_places -= copies
        self._between |= copies

    def _hold_out_some(self) -> None:
        kinds: list[Callable[[Sequence[int]], bool]] = [lambda group: not self._refuses(group), self._refuses]
        present = self._asking.groups(range(len(self._examples)))
        for of_kind in kinds:
            if sum(map(of_kind, present)) >= ENOUGH_GROUPS:
                self._hold_out_one(of_kind)
        self._hold_out_one(lambda _: True)

    def _hold_out_one(self, wanted: Callable[[Sequence[int]], bool]) -> None:
        """Hold out the smallest new group of the wanted ones, unless one is held out already or nothing else is trained
        on.
        """
        if any(wanted([place]) for place in self._held_out_places):
            return
        trained = self._trained_places
        free = [group for group in self._new if trained.issuperset(group) and len(group) < len(trained)]
        if chosen := min(filter(wanted, free), key=lambda group: (len(group), self._key(group)), default=None):
            trained.difference_update(chosen)
            self._held_out_places.update(chosen)

    def _numbers(self, places: Sequence[int] | range | set[int]) -> set[int]:
        return {number for place in places for number in self._asking.own[place]}

    def _refuses(self, group: Sequence[int]) -> bool:
        return all(self._examples[place].refuses for place in group)

    def _key(self, group: Sequence[int]) -> int:
        return group_key([self._examples[place] for place in group])
