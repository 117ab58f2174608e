from __future__ import annotations

from typing import Any

import pytest

from retrieval.errors import InvalidFilter
from retrieval.filters import Comparison, Compound, filter_body, parse_filter


def test_a_filter_is_read_and_written_in_openais_words() -> None:
    raw = {
        "type": "and",
        "filters": [
            {"type": "eq", "key": "draft", "value": False},
            {"type": "or", "filters": [{"type": "gte", "key": "year", "value": 2026.0}]},
            {"type": "nin", "key": "team", "value": ["sales", 3.0]},
        ],
    }
    parsed = parse_filter(raw)
    assert parsed == Compound(
        "and",
        (
            Comparison("draft", "eq", (False,)),
            Compound("or", (Comparison("year", "gte", (2026.0,)),)),
            Comparison("team", "nin", ("sales", 3.0)),
        ),
    )
    assert filter_body(parsed) == raw


def nested(levels: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"type": "eq", "key": "a", "value": 1}
    for _ in range(levels):
        inner = {"type": "and", "filters": [inner]}
    return inner


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ("team = sales", r"filters must be an object"),
        ([], r"filters must be an object"),
        ({"key": "team", "value": "x"}, r"filters\.type is None; it must be one of eq, .* or$"),
        ({"type": "like", "key": "team", "value": "x"}, r"filters\.type is 'like'"),
        ({"type": ["eq"], "key": "team", "value": "x"}, r"filters\.type is \['eq'\]"),
        ({"type": "eq", "value": "x"}, r"filters\.key must be the name"),
        ({"type": "eq", "key": "team"}, r"filters\.value is missing"),
        ({"type": "eq", "key": "team", "value": None}, r"filters\.value must be a text"),
        ({"type": "eq", "key": "team", "value": ["x"]}, r"filters\.value must be a text"),
        ({"type": "eq", "key": "team", "value": float("nan")}, r"filters\.value must be .*finite"),
        ({"type": "gt", "key": "year", "value": "2026"}, r"filters\.value must be a number.*gt"),
        ({"type": "lt", "key": "year", "value": True}, r"filters\.value must be a number"),
        ({"type": "in", "key": "team", "value": "sales"}, r"filters\.value must be a list"),
        ({"type": "nin", "key": "team", "value": ["a", None]}, r"filters\.value\[1\] must be a text"),
        ({"type": "and", "filters": []}, r"filters\.filters must be a list of at least one"),
        ({"type": "eq", "key": "a", "value": 1, "valeu": 2}, r"filters has valeu"),
        (
            {"type": "or", "filters": [{"type": "eq", "key": "a", "value": 1}, {"type": "and", "filters": [7]}]},
            r"filters\.filters\[1\]\.filters\[0\] must be an object",
        ),
        (nested(8), "nested more than 8 deep"),
        (
            {"type": "or", "filters": [{"type": "eq", "key": "a", "value": 1}] * 129},
            "129 comparisons; 128 are the most",
        ),
    ],
)
def test_a_malformed_filter_is_refused_where_it_is_wrong(raw: object, problem: str) -> None:
    with pytest.raises(InvalidFilter, match=problem):
        parse_filter(raw)


def test_a_filter_as_deep_as_allowed_is_read() -> None:
    assert isinstance(parse_filter(nested(7)), Compound)
