"""Words that reverse a sentence. A pair is listed only if each word usually denies the other."""

from __future__ import annotations

from functools import lru_cache
from itertools import product

from retrieval.text.stems import stem

_PAIRS = """
increase raise grow gain higher more greater larger longer | decrease reduce lower fall decline drop less fewer shorter
enhance promote stimulate activate induce upregulate facilitate | inhibit suppress block prevent impair downregulate
improve better strengthen | worsen worse weaken impair
activation induction | inhibition suppression repression
above maximum most | below minimum least
positive positively | negative negatively inversely
presence present | absence absent
sensitive sensitivity | resistant resistance
required essential necessary mandatory | optional dispensable voluntary
allow permit | forbid prohibit
accept | refuse reject
include | exclude
always | never
open | close
fast faster early | slow slower late
success succeed | failure fail
safe | dangerous
enable | disable
"""
_PREFIXES = {"un": 4, "non": 4, "in": 5, "im": 5, "ir": 5, "dis": 6}
"""Denying prefixes, and the shortest stem that each is taken off or put before: "input" does not deny "put"."""


def opposites(word: str) -> frozenset[str]:
    """Stems that deny the stem `word`: from the table, and with a denying prefix put before it or taken off."""
    added = {prefix + word for prefix, shortest in _PREFIXES.items() if len(word) >= shortest}
    taken = {
        word.removeprefix(prefix)
        for prefix, shortest in _PREFIXES.items()
        if word.startswith(prefix) and len(word) >= len(prefix) + shortest
    }
    return _table().get(word, frozenset()) | added | taken


@lru_cache(maxsize=1)
def _table() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for line in _PAIRS.strip().splitlines():
        ours, theirs = ([stem(word) for word in side.split()] for side in line.split("|"))
        for one, other in product(ours, theirs):
            found.setdefault(one, set()).add(other)
            found.setdefault(other, set()).add(one)
    return {word: frozenset(others) for word, others in found.items()}
