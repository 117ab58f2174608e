"""The interval of a mean difference: what either gate says."""

from __future__ import annotations

import random

import pytest

from training.bootstrap import interval
from training.embedders.gate import compare
from training.judging.figures import PromptScore
from training.judging.paired import difference


def some_scores(seed: int, count: int) -> list[float]:
    drawn = random.Random(seed)
    return [round(drawn.random(), 3) for _ in range(count)]


def of_prompts(scores: list[float]) -> list[PromptScore]:
    return [PromptScore(str(place), {"style": score}) for place, score in enumerate(scores)]


@pytest.mark.parametrize(
    ("pairs", "low", "high"),
    [
        (2, -0.5269999999999999, -0.43499999999999994),
        (7, 0.18855000000000002, 0.598357142857143),
        (24, -0.12646875, 0.16274999999999998),
        (150, -0.024688499999999954, 0.10528483333333338),
    ],
)
def test_the_embedders_gate_keeps_its_figures(pairs: int, low: float, high: float) -> None:
    report = compare(some_scores(pairs, pairs), some_scores(pairs + 1000, pairs), seed=13)
    assert (report.low, report.high) == (low, high)


@pytest.mark.parametrize(
    ("pairs", "low", "high"),
    [
        (2, -0.5269999999999999, -0.43499999999999994),
        (7, 0.21700000000000003, 0.5698571428571428),
        (24, -0.10652916666666669, 0.14058541666666663),
        (150, -0.012741666666666669, 0.09439433333333333),
    ],
)
def test_the_gate_of_candidates_keeps_its_figures(pairs: int, low: float, high: float) -> None:
    new, old = of_prompts(some_scores(pairs + 1000, pairs)), of_prompts(some_scores(pairs, pairs))
    found = difference(new, old, "style", confidence=0.9, resamples=4000, seed=13)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-12)


def test_one_prompt_has_no_spread() -> None:
    found = difference(of_prompts([0.75]), of_prompts([0.25]), "style", confidence=0.9, resamples=4000, seed=13)
    assert found is not None
    assert (found.low, found.high) == (0.5, 0.5)


def test_prompts_that_differ_alike_have_no_spread() -> None:
    assert interval([0.5, 0.5, 0.5], 0.9, 100, seed=1) == (0.5, 0.5)
