"""The form in which texts are compared: what people type differently but mean alike becomes the same."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from retrieval.text.contractions import spelled_out
from retrieval.text.negations import NEGATIONS
from retrieval.text.stems import stem
from retrieval.text.stop_words import EMPTY, FUNCTION_WORDS, STOP_WORDS, TELLING
from retrieval.text.words import COMPARED_WORD

LEAST_LETTERS = 5
"""Shorter words that differ by one letter count as two different words."""
SPARE = 0.05
"""This share of the words that carry meaning may be replaced in a near-copy: none in a question of usual length."""


def bare(text: str) -> str:
    """The text in lower case without accents, invisible characters and typographic variants."""
    if text.isascii():
        return text.lower()
    split = unicodedata.normalize("NFKD", text.casefold().replace("\u2019", "'"))
    kept = "".join(letter for letter in split if unicodedata.category(letter) not in ("Mn", "Cf"))
    return unicodedata.normalize("NFC", kept)


@dataclass(frozen=True)
class Wording:
    """A text in the form in which it is compared with others."""

    words: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Wording:
        return cls(tuple(stem(word) for word in COMPARED_WORD.findall(spelled_out(bare(text)))))

    @cached_property
    def shingles(self) -> frozenset[str]:
        """Its words, and each pair of neighbours, without articles and politeness."""
        kept = [word for word in self.words if word not in EMPTY] or self.words
        return frozenset(kept) | {f"{one} {two}" for one, two in pairwise(kept)}

    @cached_property
    def meant(self) -> frozenset[str]:
        """The words that carry meaning; all words if none does."""
        return frozenset(word for word in self.words if word not in _PLAIN) or frozenset(self.words)

    @cached_property
    def strict(self) -> frozenset[str]:
        """All words except articles and politeness."""
        return frozenset(self.words) - EMPTY

    def is_copy_of(self, other: Wording, least: float) -> bool:
        """Whether both say the same: the Jaccard similarity of their shingles is `least` or more, and no word that
        carries meaning was replaced by another. "When may I return a bike?" and the same with a helmet are two
        questions, however much of the sentence they share; a question with a word added or misspelt is a copy.
        """
        return jaccard(self.shingles, other.shingles) >= least and not self._differs(other)

    def asks_as(self, other: Wording, least: float) -> bool:
        """Whether both ask exactly the same: as `is_copy_of`, and all words except articles and politeness agree."""
        return self.strict == other.strict and jaccard(self.shingles, other.shingles) >= least

    def _differs(self, other: Wording) -> bool:
        mine, theirs = self.meant - other.meant, other.meant - self.meant
        if not mine or not theirs:
            return False
        allowed = SPARE * len(self.meant | other.meant)
        misspelt = sum(any(_misspelt(one, two) for two in theirs) for one in mine)
        return min(len(mine), len(theirs)) - misspelt > allowed


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """The size of the intersection divided by the size of the union, in 0..1; 1 if both are empty."""
    both = len(one & other)
    return both / (len(one) + len(other) - both) if one or other else 1.0


def _misspelt(one: str, other: str) -> bool:
    """Whether two words differ by one letter that is added, missing, replaced, or swapped with its neighbour."""
    if min(len(one), len(other)) < LEAST_LETTERS or abs(len(one) - len(other)) > 1:
        return False
    if not (one.isalpha() and other.isalpha()):
        return False
    shared = next((place for place, pair in enumerate(zip(one, other, strict=False)) if len(set(pair)) > 1), len(one))
    mine, theirs = one[shared:], other[shared:]
    swapped = mine[:2] == theirs[1::-1] and mine[2:] == theirs[2:]
    return swapped or mine[1:] == theirs[1:] or mine[1:] == theirs or mine == theirs[1:]


_PLAIN = EMPTY | frozenset(stem(bare(word)) for word in (STOP_WORDS | FUNCTION_WORDS) - TELLING - NEGATIONS)
