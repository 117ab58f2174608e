"""Filters on attributes: which chunks a search may return, by the attributes of their files. OpenAI's words as values.

`ne` and `nin` are the exact opposites of `eq` and `in`: they match a chunk whose file lacks the attribute. No other
comparison matches it, so a filter on an attribute that no file has finds nothing, without an error. Types do not mix:
the text "1", the number 1 and true are three values. Only numbers have an order; write dates as seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast, get_args

from retrieval.errors import InvalidFilter

Operator = Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
Joint = Literal["and", "or"]
Value = str | float | bool

ORDERED = frozenset({"gt", "gte", "lt", "lte"})
LISTED = frozenset({"in", "nin"})
MOST_DEEP, MOST_COMPARISONS, MOST_VALUES = 8, 128, 1024


@dataclass(frozen=True)
class Comparison:
    """An attribute against a value; `in` and `nin` take any number of values, the other operators one."""

    key: str
    operator: Operator
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Compound:
    """All (`and`) or any (`or`) of its filters, of which it has at least one."""

    operator: Joint
    filters: tuple[Filter, ...]


Filter: TypeAlias = Comparison | Compound


def parse_filter(raw: object, where: str = "filters") -> Filter:
    """The filter that OpenAI's JSON describes. Raises InvalidFilter, which names the place within it."""
    parsed = _parse(raw, where, MOST_DEEP)
    if _size(parsed) > MOST_COMPARISONS:
        raise InvalidFilter(f"{where} has {_size(parsed)} comparisons; {MOST_COMPARISONS} are the most")
    return parsed


def filter_body(wanted: Filter) -> dict[str, Any]:
    """The JSON that `parse_filter` reads."""
    if isinstance(wanted, Compound):
        return {"type": wanted.operator, "filters": [filter_body(one) for one in wanted.filters]}
    value = list(wanted.values) if wanted.operator in LISTED else wanted.values[0]
    return {"type": wanted.operator, "key": wanted.key, "value": value}


def _parse(raw: object, where: str, deep: int) -> Filter:
    if not isinstance(raw, Mapping):
        raise InvalidFilter(
            f"{where} must be an object with a type, such as {{'type': 'eq', 'key': ..., 'value': ...}}"
        )
    if deep == 0:
        raise InvalidFilter(f"{where} is nested more than {MOST_DEEP} deep")
    if raw.get("type") in get_args(Joint):
        return _compound(raw, where, deep)
    if raw.get("type") in get_args(Operator):
        return _comparison(raw, where)
    known = ", ".join((*get_args(Operator), *get_args(Joint)))
    raise InvalidFilter(f"{where}.type is {raw.get('type')!r}; it must be one of {known}")


def _compound(raw: Mapping[Any, Any], where: str, deep: int) -> Compound:
    _only(raw, {"type", "filters"}, where)
    filters = raw.get("filters")
    if not isinstance(filters, list) or not filters:
        raise InvalidFilter(f"{where}.filters must be a list of at least one filter")
    parts = tuple(_parse(one, f"{where}.filters[{number}]", deep - 1) for number, one in enumerate(filters))
    return Compound(cast(Joint, raw["type"]), parts)


def _comparison(raw: Mapping[Any, Any], where: str) -> Comparison:
    _only(raw, {"type", "key", "value"}, where)
    operator, key = cast(Operator, raw["type"]), raw.get("key")
    if not isinstance(key, str) or not key:
        raise InvalidFilter(f"{where}.key must be the name of an attribute")
    if "value" not in raw:
        raise InvalidFilter(f"{where}.value is missing")
    return Comparison(key, operator, _values(operator, raw["value"], f"{where}.value"))


def _values(operator: Operator, raw: object, where: str) -> tuple[Value, ...]:
    if operator in LISTED:
        if not isinstance(raw, list) or len(raw) > MOST_VALUES:
            raise InvalidFilter(f"{where} must be a list of at most {MOST_VALUES} values, since the type is {operator}")
        return tuple(_value(one, f"{where}[{number}]") for number, one in enumerate(raw))
    value = _value(raw, where)
    if operator in ORDERED and not _is_number(value):
        raise InvalidFilter(f"{where} must be a number, since the type is {operator}; write dates as seconds")
    return (value,)


def _value(raw: object, where: str) -> Value:
    if isinstance(raw, str | bool):
        return raw
    if isinstance(raw, int | float) and abs(raw) <= sys.float_info.max:  # `isfinite` fails at a long whole number
        return float(raw)
    raise InvalidFilter(f"{where} must be a text, a finite number, or true or false")


def _is_number(value: Value) -> bool:
    return isinstance(value, float) and not isinstance(value, bool)


def _only(raw: Mapping[Any, Any], known: set[str], where: str) -> None:
    unknown = sorted(map(str, set(raw) - known))
    if unknown:
        raise InvalidFilter(f"{where} has {', '.join(unknown)}, which a filter of type {raw['type']} does not take")


def _size(wanted: Filter) -> int:
    return sum(map(_size, wanted.filters)) if isinstance(wanted, Compound) else 1
