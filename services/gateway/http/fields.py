"""Fields that bodies of several rooms have, with OpenAI's limits."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator

from retrieval.filters import Filter, parse_filter
from services.gateway.http.bodies import Strict

MOST_ATTRIBUTES, LONGEST_KEY, LONGEST_VALUE = 16, 64, 512
DEEPEST_JSON = 60
"""A little less than a training file may have, in which it stands within a row."""
Finite = Annotated[float, Field(allow_inf_nan=False)]


def _within_limits(named: dict[str, Any]) -> dict[str, Any]:
    if len(named) > MOST_ATTRIBUTES:
        raise ValueError(f"{len(named)} keys are given; {MOST_ATTRIBUTES} are the most")
    for key, value in named.items():
        if not 1 <= len(key) <= LONGEST_KEY:
            raise ValueError(f"the key {key[:80]!r} has {len(key)} characters; 1 to {LONGEST_KEY} are allowed")
        if isinstance(value, str) and len(value) > LONGEST_VALUE:
            raise ValueError(f"the value of {key!r} has {len(value)} characters; {LONGEST_VALUE} are the most")
    return named


def _as_trained(given: dict[str, Any]) -> dict[str, Any]:
    waiting: list[tuple[Any, int]] = [(given, 1)]
    while waiting:
        one, depth = waiting.pop()
        if depth > DEEPEST_JSON:
            raise ValueError(f"it is nested more than {DEEPEST_JSON} deep")
        if isinstance(one, float) and not math.isfinite(one):
            raise ValueError("it has a number that JSON cannot hold, NaN or beyond 1e308")
        inside = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        waiting += [(item, depth + 1) for item in inside]
    return given


def _filter(raw: object) -> Filter:
    return parse_filter(raw)


Attributes = Annotated[dict[str, str | Finite | bool], AfterValidator(_within_limits)]
Metadata = Annotated[dict[str, str], AfterValidator(_within_limits)]
JsonObject = Annotated[dict[str, Any], AfterValidator(_as_trained)]
"""Any JSON that can be stored, sent on and frozen into a training file: Python reads NaN and 900 brackets, too."""
AttributeFilter = Annotated[Filter, PlainValidator(_filter, json_schema_input_type=dict[str, Any])]


class RankingOptions(Strict):
    """With any ranker but `none`, a cross-encoder reorders the passages, if one is set. `score_threshold` is for the
    fused score, in 0..1.
    """

    ranker: Literal["none", "auto", "default-2024-11-15"] = "auto"
    score_threshold: float = Field(default=0.0, ge=0.0, le=1.0)
