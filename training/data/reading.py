"""Cuts a training file into rows: JSON objects, one on each line or all in one list, each with its line number.

No row is read by halves: if JSON readers disagree on a row (a repeated key, NaN, half a surrogate pair), it is a bad
row.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, NoReturn

from training.errors import InvalidDataset

BOM = "\ufeff"
DEEPEST = 64


class BadRow(Exception):
    """What is wrong with one row, in words."""


Row = tuple[int, dict[str, Any] | BadRow]
"""The number of the line that the row begins on, from 1, and the row, or why it cannot be read."""


def read_rows(data: bytes) -> Iterator[Row]:
    """The rows of a JSONL file, or of a file that is one JSON list. Empty lines are skipped.

    Raises InvalidDataset for bytes that are not UTF-8 and for a broken list: after the break, rows cannot be told
    apart.
    """
    text = _text(data)
    yield from _rows_of_list(text) if text.lstrip().startswith("[") else _rows_of_lines(text)


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8").removeprefix(BOM)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InvalidDataset(
            f"The data set is not UTF-8: line {line} has the byte {data[error.start]:#04x}. Save it as UTF-8."
        ) from error


def _rows_of_lines(text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):  # splitlines() would also cut at U+2028 inside a text
        if line.strip():
            yield number, _row(line)


def _row(line: str) -> dict[str, Any] | BadRow:
    try:
        return _checked(_DECODER.decode(line.strip()))
    except BadRow as problem:
        return problem
    except (ValueError, RecursionError) as error:
        return BadRow(f"not JSON ({_short(error)})")


def _rows_of_list(text: str) -> Iterator[Row]:
    position = _after_space(text, text.index("[") + 1)
    line, counted = 1, 0
    while text[position : position + 1] != "]":
        line, counted = line + text.count("\n", counted, position), position
        try:
            value, position = _DECODER.raw_decode(text, position)
        except BadRow as problem:
            raise InvalidDataset(f"The data set's list cannot be read on from line {line}: {problem}.") from problem
        except (ValueError, RecursionError) as error:
            raise InvalidDataset(
                f"The data set's list is broken: what begins on line {line} is not JSON ({_short(error)}). Mend it, "
                "or write one JSON object a line."
            ) from error
        yield line, _checked_or_bad(value)
        position = _next_item(text, position)
    _nothing_after(text, position + 1)


def _checked_or_bad(value: Any) -> dict[str, Any] | BadRow:
    try:
        return _checked(value)
    except BadRow as problem:
        return problem


def _next_item(text: str, position: int) -> int:
    position = _after_space(text, position)
    if text[position : position + 1] == "]":
        return position
    if text[position : position + 1] != ",":
        line = text.count("\n", 0, position) + 1
        raise InvalidDataset(f"The data set's list is broken on line {line}: a comma or the closing ] is missing.")
    return _after_space(text, position + 1)


def _nothing_after(text: str, position: int) -> None:
    position = _after_space(text, position)
    if position < len(text):
        line = text.count("\n", 0, position) + 1
        raise InvalidDataset(
            f"The data set is one JSON list, and line {line} goes on after its end. Put everything into the list, or "
            "write one JSON object a line."
        )


def _after_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _checked(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadRow("not a JSON object")
    _check_texts(value, 0)
    return value


def _check_texts(value: Any, depth: int) -> None:
    """Checks that every text can be stored, tokenized and written as UTF-8."""
    if depth > DEEPEST:
        raise BadRow(f"nested more than {DEEPEST} deep")
    if isinstance(value, str):
        if "\x00" in value:
            raise BadRow("a text has a NUL character")
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise BadRow("a text has half of a surrogate pair (\\ud800 to \\udfff)")
    elif isinstance(value, dict):
        for key, one in value.items():
            _check_texts(key, depth + 1)
            _check_texts(one, depth + 1)
    elif isinstance(value, list):
        for one in value:
            _check_texts(one, depth + 1)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise BadRow(f'the key "{key}" stands twice in one object')
        found[key] = value
    return found


def _no_constant(name: str) -> NoReturn:
    raise BadRow(f"not JSON ({name} is no JSON value)")


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise BadRow(f"the number {number[:20]} is too large")
    return value


def _short(error: Exception) -> str:
    return "nested too deep" if isinstance(error, RecursionError) else str(error)[:120]


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite)
