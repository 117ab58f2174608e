from __future__ import annotations

from collections.abc import Sequence

import pytest

from training.embedders.gate import compare, scores
from training.embedders.pairs import Pair

AXES = {"bike": (1.0, 0.0, 0.0), "lamp": (0.0, 1.0, 0.0), "bell": (0.0, 0.0, 1.0), "both": (0.8, 0.6, 0.0)}
PASSAGES = [("1", "bike"), ("2", "lamp"), ("3", "bell"), ("4", "both")]


def encode(texts: Sequence[str]) -> list[tuple[float, ...]]:
    return [AXES[text] for text in texts]


def pair(query: str, passage: str, chunk_id: str) -> Pair:
    return Pair(query, passage, chunk_id, "file", "sentence")


def test_a_passage_found_first_scores_one_and_a_later_one_less() -> None:
    first, second = scores(encode, [pair("bike", "bike", "1"), pair("lamp", "both", "4")], PASSAGES)
    assert first == 1.0
    assert second == pytest.approx(0.631, abs=1e-3)  # behind "lamp" itself


def test_the_right_chunk_stands_there_as_the_pair_has_it_and_only_once() -> None:
    (cropped,) = scores(encode, [pair("bike", "bell", "1")], PASSAGES)
    assert cropped == pytest.approx(0.631, abs=1e-3)  # behind "both", on a level with others; not found as "bike"


def test_a_gain_that_is_there_passes() -> None:
    report = compare([0.5] * 40, [0.5, 0.9] * 20, seed=1)
    assert report.passed
    assert report.before == 0.5
    assert report.after == pytest.approx(0.7)
    assert report.low > 0.0
    assert report.summary.startswith("The tuned embedder is better: nDCG@10 0.700 against 0.500")


def test_a_loss_is_refused_in_words() -> None:
    report = compare([0.9, 0.5] * 20, [0.5] * 40, seed=1)
    assert not report.passed
    assert "refused, it is worse: nDCG@10 0.500 against 0.700" in report.summary


def test_a_gain_that_may_be_chance_is_refused_in_words() -> None:
    report = compare([0.5, 0.6, 0.4], [0.6, 0.5, 0.5], seed=1)
    assert not report.passed
    assert "not enough evidence" in report.summary


def test_the_same_scores_are_no_gain() -> None:
    report = compare([0.5, 0.7], [0.5, 0.7], seed=1)
    assert (report.low, report.high, report.passed) == (0.0, 0.0, False)
