"""Whether a passage supports a sentence: a check without a model, by words, names, figures, dates and opposites.

The score depends on how many of the sentence's words the passage has, how many of them are close together, and whether
its names are among them. Four things remove all support, however many words agree: a figure or a month that the passage
lacks, a denial where the passage denies nothing, and a word whose opposite is in the passage's nearest sentence.
benchmarks/support.py fits the weights, chooses the threshold and measures both on held-out sentences.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from retrieval.text.layout import LIST_MARK
from retrieval.text.markers import NUMBERED_PASSAGE, strip_markers
from retrieval.text.negations import denies
from retrieval.text.numbers import DATES, FIGURE_WORDS, figures, without_thousands
from retrieval.text.opposites import opposites
from retrieval.text.scripts import grams, spaced
from retrieval.text.sentences import sentences
from retrieval.text.stems import stem
from retrieval.text.stop_words import STOP_WORDS
from retrieval.text.words import CLAIM_WORD

WEIGHTS = (2.6, 2.05, -0.38)
INTERCEPT = -2.36
"""Of a logistic regression on the features, over the fitting half of SciFact and WiCE (sets and verdicts balanced)."""
SUPPORT_THRESHOLD = 0.45
"""The best F1 on that half, where 98.6% of the sample company's own answers pass on the passage that answers."""
WINDOW = 3
"""This many sentences in a row count as close together."""

Objection = Literal["figure", "date", "denial", "opposite"]


@dataclass(frozen=True)
class _Text:
    """A text as the check reads it. `words` are stems of those that carry meaning, `every` of all words."""

    text: str
    words: frozenset[str]
    every: frozenset[str]
    figures: frozenset[str]
    denies: bool


def support(sentence: str, passage_text: str) -> float:
    """How likely the passage supports the sentence, in 0..1; supported from SUPPORT_THRESHOLD on.

    0 if an objection is found, and if the passage has none of the sentence's words.
    """
    values = features(sentence, passage_text)
    if not values[0] or objection(sentence, passage_text):
        return 0.0
    log_odds = INTERCEPT + sum(weight * value for weight, value in zip(WEIGHTS, values, strict=True))
    return 1 / (1 + math.exp(-log_odds))


def features(sentence: str, passage_text: str) -> tuple[float, float, float]:
    """Shares in 0..1: the sentence's words in the passage, those in its best WINDOW sentences, its names missing."""
    asked, parts = _read(_bare(sentence)), _parts(passage_text)
    known = frozenset[str]().union(*(part.words for part in parts))
    windows = [frozenset[str]().union(*(part.words for part in parts[at : at + WINDOW])) for at in range(len(parts))]
    total = len(asked.words) or 1
    closest = max((len(asked.words & window) for window in windows), default=0)
    return len(asked.words & known) / total, closest / total, _missing_names(asked.text, passage_text)


def objection(sentence: str, passage_text: str) -> Objection | None:
    """The finding that by itself rules out support, if there is one."""
    asked, parts = _read(_bare(sentence)), _parts(passage_text)
    if asked.figures - frozenset[str]().union(*(part.figures for part in parts), _spelled_one(parts)):
        return "figure"
    if any(not re.search(rf"\b{date[:3]}", passage_text, re.IGNORECASE) for date in asked.every & DATES):
        return "date"
    if asked.denies and not any(part.denies for part in parts):
        return "denial"
    nearest = max(parts, key=lambda part: len(asked.words & part.words), default=asked)
    return "opposite" if _turned(asked, nearest) else None


def _spelled_one(parts: tuple[_Text, ...]) -> frozenset[str]:
    """A passage's "one" may be a figure; an answer's mostly is not ("the one that"), so no support is required
    for it."""
    return frozenset("1" for part in parts if "one" in part.every)


def _turned(asked: _Text, nearest: _Text) -> bool:
    """Whether a word of one text is in the other only as its opposite."""
    ours, theirs = asked.every - nearest.every, nearest.every - asked.every
    return any(opposites(word) & theirs for word in ours)


def _missing_names(sentence: str, passage_text: str) -> float:
    names, known = _names(sentence), passage_text.lower()
    return sum(name not in known for name in names) / len(names) if names else 0.0


def _names(sentence: str) -> frozenset[str]:
    """Words with a capital letter; the first word only if it has two."""
    found = (word.removesuffix("'s").removesuffix("\u2019s") for word in CLAIM_WORD.findall(spaced(sentence)))
    capitals = ((place, word, sum(letter.isupper() for letter in word)) for place, word in enumerate(found))
    return frozenset(word.lower() for place, word, count in capitals if count > 1 or (place and word[:1].isupper()))


def _bare(sentence: str) -> str:
    return LIST_MARK.sub("", NUMBERED_PASSAGE.sub(r"\1", strip_markers(sentence)))


@lru_cache(maxsize=64)
def _parts(passage_text: str) -> tuple[_Text, ...]:
    """The passage's sentences, cached because every sentence of an answer is checked against the same few passages."""
    return tuple(_read(passage_text[start:end]) for start, end in sentences(passage_text))


@lru_cache(maxsize=1024)
def _read(text: str) -> _Text:
    plain = without_thousands(text)
    found = [word.lower().replace("\u2019", "'") for word in CLAIM_WORD.findall(spaced(plain))]
    unspaced = grams(plain)
    every = [FIGURE_WORDS.get(word, word) for word in found]
    return _Text(
        text=text,
        words=frozenset([*(stem(word) for word in every if word not in STOP_WORDS), *unspaced]),
        every=frozenset([*(stem(word) if word not in DATES else word for word in every), *unspaced]),
        figures=frozenset(figures(plain, found)),
        denies=denies(plain, found),
    )
