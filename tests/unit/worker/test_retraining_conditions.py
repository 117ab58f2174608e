from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.worker.schedules.conditions import (
    LEAST_ANSWERS,
    Check,
    decide,
    enough_examples,
    old_enough,
    style_drifted,
)

AT = datetime(2026, 6, 1, tzinfo=UTC)


def test_enough_new_examples() -> None:
    assert not enough_examples(49, 50).met
    assert enough_examples(50, 50).met
    assert enough_examples(49, 50).sentence == "49 new approved examples since the last run (wanted 50)"


def test_a_version_is_old_enough_from_its_day_on_and_none_at_all_is() -> None:
    assert not old_enough(AT - timedelta(days=29.9), AT, 30).met
    assert old_enough(AT - timedelta(days=30), AT, 30).met
    assert old_enough(None, AT, 30).met


@pytest.mark.parametrize(("mean", "met"), [(0.71, False), (0.699, True), (0.95, False)])
def test_style_has_drifted_where_it_lies_so_far_below_the_gates_figure(mean: float, met: bool) -> None:
    assert style_drifted([mean] * LEAST_ANSWERS, 0.8, 0.1).met is met


def test_a_drift_cannot_be_told_from_few_answers_or_without_the_gates_figure() -> None:
    assert not style_drifted([0.1] * (LEAST_ANSWERS - 1), 0.8, 0.1).met
    assert not style_drifted([0.1] * LEAST_ANSWERS, None, 0.1).met


@pytest.mark.parametrize(
    ("met", "match", "expected"),
    [
        ((True, True), "all", True),
        ((True, False), "all", False),
        ((True, False), "any", True),
        ((False, False), "any", False),
        ((), "all", True),
        ((), "any", True),
    ],
)
def test_all_conditions_have_to_hold_or_any(met: tuple[bool, ...], match: str, expected: bool) -> None:
    verdict = decide([Check(one, f"condition {number}") for number, one in enumerate(met)], match)
    assert verdict.met is expected
    assert all(f"condition {number}" in verdict.sentence for number in range(len(met)))
