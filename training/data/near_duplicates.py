"""Finds questions that are copies or near-copies of one another, among thousands, without comparing each with each.

MinHash proposes pairs, and their wordings decide (`training.data.wording`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training.data.minhash import Labels, candidates, estimate, signatures
from training.data.wording import Wording
from training.model import Example

ESTIMATE_MARGIN = 0.15
"""Four standard errors of an estimate from 192 minima at a similarity of 0.5."""
RAREST = 3
COMMON = 500
"""A word that is in more texts than this separates texts only if a text has no rarer word."""
STANDS_ALONE = 4
"""A turn within a conversation is a question by itself from this many words on; "And then?" is not."""
Judge = Callable[[Wording, Wording, float], bool]


def near_copies(texts: Sequence[Wording], least: float, judge: Judge = Wording.is_copy_of) -> Iterator[tuple[int, int]]:
    """Pairs of places whose texts are near-copies. Each of several equal texts is paired with the first of them.

    `least` is the lowest Jaccard similarity of shingles, in 0.3..1. Pairs of equal texts are always found;
    `training.data.minhash` says how rarely other pairs are missed.
    """
    first: dict[tuple[str, ...], int] = {}
    for place, text in enumerate(texts):
        if (known := first.setdefault(text.words, place)) != place:
            yield known, place
    places = [place for words, place in first.items() if words]
    found = signatures([texts[place].shingles for place in places])
    pairs = candidates(found, _rarest([texts[place] for place in places]))
    if len(pairs):
        pairs = pairs[estimate(found, pairs) >= least - ESTIMATE_MARGIN]
    for one, two in pairs.tolist():
        if judge(texts[places[one]], texts[places[two]], least):
            yield places[one], places[two]


def groups(size: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The places 0..size. Places joined by pairs are in one group; each group and the list of groups are in ascending
    order.
    """
    parent = list(range(size))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    for one, two in pairs:
        one, two = sorted((root(one), root(two)))
        parent[two] = one
    found: dict[int, list[int]] = defaultdict(list)
    for place in range(size):
        found[root(place)].append(place)
    return list(found.values())


def question_groups(examples: Sequence[Example], least: float) -> list[list[int]]:
    """Places of the examples, grouped by questions that are near-copies."""
    owners, texts = _asked(examples)
    joined = [(owners[one], owners[two]) for one, two in near_copies(texts, least)]
    return groups(len(examples), joined)


def same_questions(examples: Sequence[Example], least: float) -> list[list[int]]:
    """Places of the examples that ask exactly the same under the same system message, if there are several.

    The questions differ only in articles and politeness; `least` is the lowest Jaccard similarity, for the order of
    words.
    """
    texts = [Wording.of(example.whole_prompt) for example in examples]
    found = groups(len(examples), near_copies(texts, least, Wording.asks_as))
    return [group for group in found if len(group) > 1]


@dataclass(frozen=True)
class Asking:
    """What examples ask, as numbers: one wording has one number in all examples.

    `own` are each example's numbers, its whole conversation's first; `near` are the near-copies of a number.
    """

    own: tuple[tuple[int, ...], ...]
    near: Mapping[int, frozenset[int]]

    @classmethod
    def of(cls, examples: Sequence[Example], least: float) -> Asking:
        owners, texts = _asked(examples)
        numbers: dict[tuple[str, ...], int] = {}
        own: list[list[int]] = [[] for _ in examples]
        for owner, text in zip(owners, texts, strict=True):
            own[owner].append(numbers.setdefault(text.words, len(numbers)))
        near: dict[int, set[int]] = defaultdict(set)
        for one, two in near_copies([Wording(words) for words in numbers], least):
            near[one].add(two)
            near[two].add(one)
        return cls(tuple(map(tuple, own)), {number: frozenset(others) for number, others in near.items()})

    def around(self, place: int) -> set[int]:
        """What an example asks, and the near-copies of it."""
        return set(self.own[place]).union(*(self.near.get(number, ()) for number in self.own[place]))

    def groups(self, places: Sequence[int]) -> list[list[int]]:
        """The places, grouped by questions that are the same or near-copies; examples outside `places` join nothing."""
        last: dict[int, int] = {}
        pairs: list[tuple[int, int]] = []
        for position, place in enumerate(places):
            pairs += [(last.setdefault(number, position), position) for number in self.own[place]]
        pairs += [(last[one], last[two]) for one in last for two in self.near.get(one, ()) if two in last]
        return [[places[position] for position in group] for group in groups(len(places), pairs)]


def copies_of(examples: Sequence[Example], others: Sequence[Example], least: float) -> list[int]:
    """Places of the examples that ask the same as any of the others, or a near-copy of it."""
    owners, texts = _asked([*examples, *others])
    count = len(examples)
    found = set()
    for together in groups(len(texts), near_copies(texts, least)):
        asked = {owners[place] for place in together}
        if any(owner >= count for owner in asked):
            found |= {owner for owner in asked if owner < count}
    return sorted(found)


def _asked(examples: Sequence[Example]) -> tuple[list[int], list[Wording]]:
    """What each example asks, and whose it is: the whole conversation, and every question in it that is complete by
    itself.
    """
    owners, texts = [], []
    for owner, example in enumerate(examples):
        asked = [Wording.of(example.asked)]
        if example.history:
            turns = (message.content for message in example.messages if message.role == "user")
            asked += [text for turn in turns if len((text := Wording.of(turn)).words) >= STANDS_ALONE]
        owners += [owner] * len(asked)
        texts += asked
    return owners, texts


def _rarest(texts: Sequence[Wording]) -> Labels:
    """The rarest words of each text that carry meaning, [n, RAREST]: near-copies share one of them.

    Near-copies differ in few such words, so the rarest cannot all be different.
    """
    spread = Counter(word for text in texts for word in text.meant)
    numbers = {word: number for number, word in enumerate(spread, start=1)}
    found = np.zeros((len(texts), RAREST), np.uint64)
    for place, text in enumerate(texts):
        ordered = sorted(text.meant, key=lambda word: (spread[word], word))[:RAREST]
        rarest = [word for word in ordered if spread[word] <= COMMON] or ordered[:1]
        found[place] = [numbers[word] for word in (rarest * RAREST)[:RAREST]]
    return found
