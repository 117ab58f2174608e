"""Fits the weights of the check behind `supported`, and shows what each part of it and an embedder's cosine add.

    python -m benchmarks.support_fit [--cosine]

The fitting halves of SciFact and WiCE give the weights and the table of thresholds; sets and verdicts weigh the same.
What the parts add is fitted on one half and told on the other, both ways round. `--cosine` embeds every sentence:
minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

from benchmarks.support_cases import Case, scifact, wice
from harness.figures import report
from retrieval.answers.support import INTERCEPT, SUPPORT_THRESHOLD, WEIGHTS, WINDOW, features, objection
from retrieval.embedding.embedder import SentenceTransformerEmbedder

THRESHOLDS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cosine", action="store_true", help="also what the default embedder adds")
    options = parser.parse_args()
    fit = Fit([scifact(), wice()])
    model = fit.model(fit.features, fit.fitted, rules=True)
    print(f"fitted: {model.coef_[0].round(2)}, {model.intercept_[0]:.2f}; in use: {WEIGHTS}, {INTERCEPT}")
    fit.print_thresholds(fit.scores(model, fit.features, rules=True))
    parts = {"words": (fit.features, False), "words and objections": (fit.features, True)}
    if options.cosine:
        cosine = cosines(fit.cases)
        both = numpy.hstack([fit.features, cosine])
        parts |= {"cosine": (cosine, False), "words and cosine": (both, False), "all three": (both, True)}
    print("\narea under the ROC curve: SciFact and WiCE, the one half by the other, then the other way round; mean")
    for name, (columns, rules) in parts.items():
        areas = fit.areas(columns, rules)
        print(f"{name:<22}{'  '.join(f'{area:.3f}' for area in areas)}  {numpy.mean(areas):.3f}")
        report("support_fit", {"parts": name, "area": round(float(numpy.mean(areas)), 4)})


class Fit:
    """The cases as arrays: features, objections, truth, and weights by which sets and verdicts count the same."""

    def __init__(self, sets: Sequence[Sequence[Case]]) -> None:
        self.cases = [case for cases in sets for case in cases]
        self.set = numpy.array([number for number, cases in enumerate(sets) for _ in cases])
        self.truth = numpy.array([case.supported for case in self.cases])
        self.fitted = numpy.array([case.fitted for case in self.cases])
        self.features = numpy.array([features(case.sentence, case.passage) for case in self.cases])
        self.objected = numpy.array([objection(case.sentence, case.passage) is not None for case in self.cases])
        self.weights = numpy.zeros(len(self.cases))
        for number in range(len(sets)):
            for verdict in (True, False):
                group = (self.set == number) & (self.truth == verdict)
                self.weights[group] = len(self.cases) / group.sum()

    def model(self, columns: numpy.ndarray, side: numpy.ndarray, rules: bool) -> LogisticRegression:
        """Fitted on one side; with rules, on what no objection decides."""
        used = side & ~self.objected if rules else side
        weights = self.weights[used] / self.weights[used].mean()
        return LogisticRegression(C=10).fit(columns[used], self.truth[used], sample_weight=weights)

    def scores(self, model: LogisticRegression, columns: numpy.ndarray, rules: bool) -> numpy.ndarray:
        found = model.predict_proba(columns)[:, 1]
        return numpy.where(self.objected & rules, 0.0, found)

    def areas(self, columns: numpy.ndarray, rules: bool) -> list[float]:
        found = []
        for side in (self.fitted, ~self.fitted):
            scores = self.scores(self.model(columns, side, rules), columns, rules)
            for number in sorted(set(self.set)):
                told = ~side & (self.set == number)
                found.append(float(roc_auc_score(self.truth[told], scores[told])))
        return found

    def print_thresholds(self, scores: numpy.ndarray) -> None:
        print(f"threshold (in use: {SUPPORT_THRESHOLD}): precision, recall, F1 on the fitting half of each set")
        for threshold in THRESHOLDS:
            row = f"{threshold:<8}"
            for number in sorted(set(self.set)):
                side = self.fitted & (self.set == number)
                truth, said = self.truth[side], scores[side] >= threshold
                measures = (measure(truth, said) for measure in (precision_score, recall_score, f1_score))
                row += "  ".join(f"{value:.3f}" for value in measures) + "    "
            print(row)


def cosines(cases: Sequence[Case]) -> numpy.ndarray:
    """The sentence's cosine to the passage's nearest sentence, and to its nearest WINDOW of them."""
    embedder = SentenceTransformerEmbedder("all-minilm-l6-v2")
    texts = sorted({text for case in cases for text in (case.sentence, *case.parts)}, key=len)
    vectors = dict(zip(texts, numpy.asarray(embedder.embed(texts), dtype=numpy.float32), strict=True))
    found = []
    for case in cases:
        sentence, parts = vectors[case.sentence], numpy.array([vectors[part] for part in case.parts])
        windows = numpy.array([parts[start : start + WINDOW].sum(axis=0) for start in range(len(parts))])
        nearest = (windows @ sentence) / numpy.linalg.norm(windows, axis=1)
        found.append((float((parts @ sentence).max()), float(nearest.max())))
    return numpy.array(found)


if __name__ == "__main__":
    main()
