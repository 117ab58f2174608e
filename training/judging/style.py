"""Style without a judge: what the training answers have in common, and how far an answer shares it.

Four traits, each in 0..1: register (how it speaks), terminology (which words it uses for things), structure (how it is
laid out) and length. A feature is scored against the training answers: if they use many exclamation marks, an answer
with many scores well.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any

from retrieval.text.contractions import CONTRACTION
from retrieval.text.courtesies import GREETING
from retrieval.text.layout import BULLET, HEADING
from retrieval.text.markers import strip_markers
from retrieval.text.pronouns import FIRST, FIRST_PLURAL, SECOND
from retrieval.text.sentences import sentences
from retrieval.text.stems import singular
from retrieval.text.words import COUNTED_WORD, TERM, TERM_BREAK, content_words

TRAITS = ("register", "terminology", "structure", "length")
PRIOR_WORDS = 500.0
"""Weight of the prior, in words; Monroe et al. 2008 use about the size of the corpora themselves."""
CLEAR = 2.6
"""A term is preferred or avoided from this many standard deviations on (two-sided 1%)."""
RARE = 0.2
"""An avoided term has at most this share of its frequency in the prompts."""
MAX_TERMS = 60

Feature = Callable[[str], bool]
Measure = Callable[[str], float]
REGISTER: dict[str, Feature] = {
    "contractions": lambda text: bool(CONTRACTION.search(text)),
    "exclamation marks": lambda text: "!" in text,
    "questions": lambda text: "?" in text,
    "first person singular": lambda text: bool(FIRST.search(text)),
    "first person plural": lambda text: bool(FIRST_PLURAL.search(text)),
    "second person": lambda text: bool(SECOND.search(text)),
    "opens with a courtesy": lambda text: bool(GREETING.search(text)),
}
STRUCTURE: dict[str, Feature] = {
    "begins with a paragraph": lambda text: not BULLET.match(text) and not HEADING.match(text),
    "bullets": lambda text: bool(BULLET.search(text)),
    "headings": lambda text: bool(HEADING.search(text)),
    "an empty line": lambda text: "\n\n" in text.strip(),
    "ends with a bullet": lambda text: bool(BULLET.match(text.strip().splitlines()[-1])) if text.strip() else False,
}
COUNTS: dict[str, Measure] = {
    "sentence words": lambda text: len(_words(text)) / max(1, len(sentences(text))),
    "bullet count": lambda text: float(len(BULLET.findall(text))),
    "lead sentences": lambda text: float(len(sentences(_lead(text)))),
    "words": lambda text: float(len(_words(text))),
}


@dataclass(frozen=True)
class Range:
    """The range that nine of ten training answers are in."""

    low: float
    high: float

    def score(self, value: float) -> float:
        """1 within; outside, it falls as the ratio to the nearer end."""
        if self.low <= value <= self.high:
            return 1.0
        near = self.low if value < self.low else self.high
        return min(value, near) / max(value, near) if value > 0 and near > 0 else 0.0


@dataclass(frozen=True)
class StyleScore:
    """An answer's traits, each in 0..1. Terminology is None if the answer uses no characteristic term."""

    register: float
    terminology: float | None
    structure: float
    length: float

    @property
    def overall(self) -> float:
        """The mean of the traits that could be scored."""
        return fmean(value for trait in TRAITS if (value := getattr(self, trait)) is not None)


@dataclass(frozen=True)
class StyleProfile:
    """The style of a set of answers. `shares` are shares of the answers that have a feature; terms are words or pairs
    of words.
    """

    answers: int
    shares: dict[str, float]
    ranges: dict[str, Range]
    preferred: tuple[str, ...]
    avoided: tuple[str, ...]

    @classmethod
    def fit(cls, answers: Sequence[str], prompts: Sequence[str]) -> StyleProfile:
        """Learn the style from training answers; `prompts` are the questions and passages that they were written for.

        Raises ValueError without answers.
        """
        if not answers:
            raise ValueError("A style needs at least one answer to be learned from.")
        texts = [strip_markers(answer) for answer in answers]
        features = {**REGISTER, **STRUCTURE}
        preferred, avoided = contrasting_terms(texts, prompts)
        return cls(
            answers=len(texts),
            shares={name: fmean(feature(text) for text in texts) for name, feature in features.items()},
            ranges={name: _range([measure(text) for text in texts]) for name, measure in COUNTS.items()},
            preferred=preferred,
            avoided=avoided,
        )

    def score(self, answer: str) -> StyleScore:
        """An answer's traits. Citation markers are not part of its style."""
        text = strip_markers(answer)
        ranges = {name: self.ranges[name].score(measure(text)) for name, measure in COUNTS.items()}
        return StyleScore(
            register=fmean([*self._features(REGISTER, text), ranges["sentence words"]]),
            terminology=self._terminology(text),
            structure=fmean([*self._features(STRUCTURE, text), ranges["bullet count"], ranges["lead sentences"]]),
            length=ranges["words"],
        )

    def _features(self, features: dict[str, Feature], text: str) -> list[float]:
        """How usual the text's choices are: 1 if half of the answers make the same choice, or more."""
        done = [(self.shares[name], feature(text)) for name, feature in features.items()]
        return [min(1.0, 2.0 * (share if does else 1.0 - share)) for share, does in done]

    def _terminology(self, text: str) -> float | None:
        uses = _terms(text)
        preferred = sum(uses[term] for term in self.preferred)
        avoided = sum(uses[term] for term in self.avoided)
        return preferred / (preferred + avoided) if preferred + avoided else None

    def to_json(self) -> dict[str, Any]:
        """The profile as plain values; `from_json` reads them back."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> StyleProfile:
        ranges = {name: Range(**bounds) for name, bounds in content["ranges"].items()}
        terms = {name: tuple(content[name]) for name in ("preferred", "avoided")}
        return cls(content["answers"], dict(content["shares"]), ranges, **terms)


def contrasting_terms(answers: Sequence[str], prompts: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words and pairs of words that answers use more, and less, than their prompts do, clearest first.

    Log-odds with an informative Dirichlet prior, divided by their standard deviation: Monroe, Colaresi and Quinn,
    "Fightin' Words", Political Analysis 16 (2008), equations 16, 20 and 22. The prior is the use in both together. A
    preferred term is rare in prompts, an avoided term is rare in answers.
    """
    ours, theirs = (sum((_terms(text) for text in texts), Counter()) for texts in (answers, prompts))
    scores = _log_odds(ours, theirs)
    sizes = max(1, ours.total()), max(1, theirs.total())

    def rare(term: str, here: Counter[str], here_size: int, there: Counter[str], there_size: int) -> bool:
        return here[term] / here_size <= RARE * there[term] / there_size

    preferred = [term for term in scores if scores[term] > CLEAR and rare(term, theirs, sizes[1], ours, sizes[0])]
    avoided = [term for term in scores if scores[term] < -CLEAR and rare(term, ours, sizes[0], theirs, sizes[1])]
    preferred.sort(key=lambda term: (-scores[term], term))
    avoided.sort(key=lambda term: (scores[term], term))
    return tuple(preferred[:MAX_TERMS]), tuple(avoided[:MAX_TERMS])


def _log_odds(ours: Counter[str], theirs: Counter[str]) -> dict[str, float]:
    both = ours + theirs
    total = both.total()
    n_ours, n_theirs = ours.total(), theirs.total()
    scores = {}
    for term, count in both.items():
        prior = PRIOR_WORDS * count / total
        left, right = ours[term] + prior, theirs[term] + prior
        delta = math.log(left / (n_ours + PRIOR_WORDS - left)) - math.log(right / (n_theirs + PRIOR_WORDS - right))
        scores[term] = delta / math.sqrt(1 / left + 1 / right)
    return scores


def _terms(text: str) -> Counter[str]:
    """Words that carry meaning, in the singular, and pairs of such words next to each other."""
    found: Counter[str] = Counter()
    for piece in TERM_BREAK.split(text):
        words = [singular(word.lower()) for word in TERM.findall(piece)]
        telling = [bool(content_words(word)) and len(word) > 2 for word in words]
        found.update(word for word, tells in zip(words, telling, strict=True) if tells)
        pairs = zip(pairwise(words), pairwise(telling), strict=True)
        found.update(" ".join(pair) for pair, tells in pairs if all(tells))
    return found


def _words(text: str) -> list[str]:
    return COUNTED_WORD.findall(text)


def _lead(text: str) -> str:
    """The text before the first bullet."""
    bullet = BULLET.search(text)
    return text[: bullet.start()] if bullet else text


def _range(values: Sequence[float]) -> Range:
    """From the 5th to the 95th percentile."""
    ordered = sorted(values)
    last = len(ordered) - 1
    return Range(ordered[round(0.05 * last)], ordered[round(0.95 * last)])
