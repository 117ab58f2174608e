"""Attributes as an index stores them beside a vector, so that two kinds of payload index answer every filter.

`facts` has one keyword for each attribute and value, typed: `["draft",true]`; equality of every kind is looked up
there. It serves booleans too, which Qdrant Edge's Python binding would take for numbers. `numbers` has the numeric
attributes under the hexadecimal of their names, which no path syntax can misread; ranges are looked up there. A range
over 20,000 chunks took 0.3 ms with the index and 140 ms without.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from retrieval.filters import Value
from retrieval.model import Attributes

FACTS, NUMBERS = "facts", "numbers"
MOST_INDEXED = 64  # names with a range index; a range on a further one is answered too, only slower


def attribute_payload(attributes: Attributes) -> dict[str, Any]:
    """What the payload of every chunk of a file with these attributes contains."""
    numbers = _numbers(attributes)
    facts = [fact(key, value) for key, value in attributes.items()] + [has_number(key) for key in numbers]
    named = {_hexadecimal(key): float(value) for key, value in numbers.items()}
    return {"attributes": dict(attributes), FACTS: facts, NUMBERS: named}


def fact(key: str, value: Value) -> str:
    """The keyword for one attribute and value. 2026 and 2026.0 are one number."""
    exact = value if isinstance(value, str | bool) else float(value) + 0.0  # minus zero is zero
    return json.dumps([key, exact], ensure_ascii=False, separators=(",", ":"))


def has_number(key: str) -> str:
    """The keyword that says that the attribute exists as a number: a range on an attribute that no chunk has costs
    nothing.
    """
    return json.dumps([key], ensure_ascii=False)


def number_field(key: str) -> str:
    """The payload field where a range is looked up."""
    return f"{NUMBERS}.{_hexadecimal(key)}"


class RangeIndexes:
    """The range indexes of an open collection. `create` makes one; an engine that has it already leaves it
    unchanged."""

    def __init__(self, create: Callable[[str], None]) -> None:
        self._create = create
        self._made: set[str] = set()

    def cover(self, many: Iterable[Attributes]) -> None:
        """Make those that lack for these files' attributes, before such attributes are written."""
        for field in sorted({number_field(key) for attributes in many for key in _numbers(attributes)}):
            if field not in self._made and len(self._made) < MOST_INDEXED:
                self._create(field)
                self._made.add(field)


def _numbers(attributes: Attributes) -> dict[str, float]:
    return {key: value for key, value in attributes.items() if not isinstance(value, str | bool)}


def _hexadecimal(key: str) -> str:
    return key.encode().hex()
