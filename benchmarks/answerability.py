"""How well retrieval's scores tell answerable questions from unanswerable ones.

    python -m benchmarks.answerability

Fits the two weights of `retrieval/answers/answerability.py` on the sample's training examples, and tests them on the
questions kept out: the share of answerable questions that each threshold lets pass, and of unanswerable ones that it
stops.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from harness.figures import report
from harness.index import WORKSPACE, indexed
from harness.jsonl import read_jsonl
from harness.places import BRINDLE
from harness.sample import sample_documents
from retrieval.answers.answerability import DENSE_WEIGHT, INTERCEPT, SPARSE_WEIGHT, features
from retrieval.embedding.embedder import Bm25Encoder, SentenceTransformerEmbedder
from retrieval.index.port import Scope, VectorIndex
from retrieval.search.searcher import Searcher
from services.kit.settings import Platform

THRESHOLDS = (0.3, 0.4, 0.45, 0.5, 0.6)
Case = tuple[tuple[float, float], bool]


def main() -> None:
    embedder, bm25 = SentenceTransformerEmbedder("all-minilm-l6-v2"), Bm25Encoder()
    with tempfile.TemporaryDirectory() as folder:
        index = indexed(Path(folder), sample_documents(), embedder, bm25)
        searcher = Searcher(embedder, bm25)
        train, test = training_cases(searcher, index), test_cases(searcher, index)
        index.close()
    model = LogisticRegression(class_weight="balanced", C=10).fit(
        [case[0] for case in train], [case[1] for case in train]
    )
    dense, sparse = model.coef_[0]
    print(f"fitted: dense {dense:.2f}, sparse {sparse:.2f}, intercept {model.intercept_[0]:.2f}", end="; ")
    print(f"in use: {DENSE_WEIGHT}, {SPARSE_WEIGHT}, {INTERCEPT}")
    areas = {"train": area(model, train), "test": area(model, test)}
    print(f"area under the ROC curve: {areas['train']:.3f} on {len(train)} training questions", end=", ")
    print(f"{areas['test']:.3f} on {len(test)} kept out")
    print(
        f"{'threshold':>10}{'passed, train':>16}{'stopped, train':>16}{'passed, kept out':>18}{'stopped, kept out':>19}"
    )
    for threshold in THRESHOLDS:
        row = [share for cases in (train, test) for share in shares(model, cases, threshold)]
        print(f"{threshold:>10}{row[0]:>16.3f}{row[1]:>16.3f}{row[2]:>18.3f}{row[3]:>19.3f}")
    report("answerability", {name: round(value, 4) for name, value in areas.items()})


def training_cases(searcher: Searcher, index: VectorIndex) -> list[Case]:
    rows = read_jsonl(BRINDLE / "train.jsonl")
    return [
        case(searcher, index, row["messages"][0]["content"], row["metadata"]["document"] is not None) for row in rows
    ]


def test_cases(searcher: Searcher, index: VectorIndex) -> list[Case]:
    answerable = [case(searcher, index, row["question"], True) for row in read_jsonl(BRINDLE / "questions.jsonl")]
    rows = read_jsonl(BRINDLE / "unanswerable.jsonl")
    return answerable + [case(searcher, index, row["question"], False) for row in rows]


def case(searcher: Searcher, index: VectorIndex, question: str, answerable: bool) -> Case:
    found = searcher.search([index], question, Scope(WORKSPACE), Platform().top_k)
    return features(question, found.passages), answerable


def area(model: Any, cases: Sequence[Case]) -> float:
    return float(roc_auc_score([case[1] for case in cases], scores(model, cases)))


def scores(model: Any, cases: Sequence[Case]) -> list[float]:
    return [float(row[1]) for row in model.predict_proba([case[0] for case in cases])]


def shares(model: Any, cases: Sequence[Case], threshold: float) -> tuple[float, float]:
    """Answerable questions that pass the threshold, unanswerable ones that do not, as shares."""
    found = list(zip(scores(model, cases), (case[1] for case in cases), strict=True))
    passed = [score >= threshold for score, answerable in found if answerable]
    stopped = [score < threshold for score, answerable in found if not answerable]
    return sum(passed) / len(passed), sum(stopped) / len(stopped)


if __name__ == "__main__":
    main()
