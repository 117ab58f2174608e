"""How well the check behind `supported` tells passages that support a sentence from those that do not.

    python -m benchmarks.support

The check in use against the one before it (the share of words, none where a figure is missing), on the halves of
SciFact and WiCE that chose nothing, with 95% bootstrap intervals; then on the sample company's answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy
from sklearn.metrics import roc_auc_score

from benchmarks.support_cases import Case, SampleCase, sample, scifact, wice
from harness.figures import report
from harness.places import SHARED_DATA
from retrieval.answers.support import SUPPORT_THRESHOLD, support
from retrieval.text.markers import strip_markers
from retrieval.text.words import content_words

RESAMPLES = 2000
Check = Callable[[str, str], float]
MEASURES = ("area", "precision", "recall", "f1")


@dataclass(frozen=True)
class Figures:
    """A measure on the cases kept out, and the 95% interval over resampled cases."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def first_check(sentence: str, passage: str) -> float:
    """The check before: the share of the sentence's content words that the passage has, 0 where it lacks a figure."""
    words, known = content_words(strip_markers(sentence)), content_words(passage)
    if any(word not in known for word in words if any(letter.isdigit() for letter in word)):
        return 0.0
    return len(words & known) / len(words) if words else 0.0


CHECKS: dict[str, tuple[Check, float]] = {"first": (first_check, 0.5), "in use": (support, SUPPORT_THRESHOLD)}


def main() -> None:
    every = {"SciFact": scifact(), "WiCE": wice()} if SHARED_DATA.is_dir() else {}
    if not every:
        print(f"there is no {SHARED_DATA}: the sample company only")
    kept_out = {name: [case for case in cases if not case.fitted] for name, cases in every.items()}
    print(f"{'set':<10}{'check':<9}" + "".join(f"{name:<26}" for name in MEASURES))
    for name, cases in kept_out.items():
        for check, (score, threshold) in CHECKS.items():
            measured = measures(cases, [score(case.sentence, case.passage) for case in cases], threshold)
            print(f"{name:<10}{check:<9}" + "".join(f"{measured[one]!s:<26}" for one in MEASURES))
            report("support", {"set": name, "check": check, **{one: measured[one].value for one in MEASURES}})
    called_supported(kept_out)
    on_the_sample(sample())


def measures(cases: Sequence[Case], scores: Sequence[float], threshold: float) -> dict[str, Figures]:
    """Each measure of MEASURES; the interval is over cases drawn again with replacement."""
    truth, values, rng = (
        numpy.array([case.supported for case in cases]),
        numpy.array(scores),
        numpy.random.default_rng(1),
    )
    drawn = [rng.integers(0, len(truth), len(truth)) for _ in range(RESAMPLES)]
    resampled = numpy.array([_measures(truth[rows], values[rows], threshold) for rows in drawn])
    low, high = numpy.percentile(resampled, [2.5, 97.5], axis=0)
    found = zip(MEASURES, _measures(truth, values, threshold), low, high, strict=True)
    return {name: Figures(float(value), float(least), float(most)) for name, value, least, most in found}


def _measures(truth: numpy.ndarray, values: numpy.ndarray, threshold: float) -> tuple[float, float, float, float]:
    said = values >= threshold
    hits = (said & truth).sum()
    precision, recall = hits / max(1, said.sum()), hits / max(1, truth.sum())
    f1 = 2 * hits / max(1, said.sum() + truth.sum())
    return float(roc_auc_score(truth, values)), float(precision), float(recall), float(f1)


def called_supported(kept_out: dict[str, list[Case]]) -> None:
    """What each check calls supported, by what people say."""
    print("\nshare called supported, by label")
    for name, cases in kept_out.items():
        for label in dict.fromkeys(case.label for case in cases):
            of_label = [case for case in cases if case.label == label]
            shares = {check: _share(of_label, *how) for check, how in CHECKS.items()}
            print(f"{name:<10}{label:<22}" + "".join(f"{check} {share:.3f}  " for check, share in shares.items()))


def _share(cases: Sequence[Case], score: Check, threshold: float) -> float:
    return sum(score(case.sentence, case.passage) >= threshold for case in cases) / len(cases)


def on_the_sample(cases: Sequence[SampleCase]) -> None:
    """How often the right passage, a random one and the best of many wrong ones count as supporting."""
    print(f"\nsample company, {len(cases)} sentences of answers: share called supported")
    for check, (score, threshold) in CHECKS.items():
        right = [score(case.sentence, case.right) for case in cases]
        wrong = [[score(case.sentence, other) for other in case.others] for case in cases]
        scores = {"right": right, "random": [some[0] for some in wrong], "best": [max(some) for some in wrong]}
        shares = {name: sum(value >= threshold for value in values) / len(cases) for name, values in scores.items()}
        print(f"{check:<9}" + "".join(f"{name} passage {share:.3f}  " for name, share in shares.items()))
        report("support on the sample", {"check": check, **shares})


if __name__ == "__main__":
    main()
