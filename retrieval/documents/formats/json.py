"""JSON: records with a text become sections, flat objects become lines, the rest is listed as `path: value`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from retrieval.documents.formats.assembler import Assembler
from retrieval.documents.formats.rows import LONG_CELL, Field, add_record, record_line
from retrieval.errors import UnreadableFile

SECTION_LEVELS = 3  # objects nested deeper are listed by their paths


def read_json(text: str, into: Assembler) -> str | None:
    """Read JSON into `into`; returns the top object's title if it has one.

    Raises UnreadableFile, with the place, for what is not JSON.
    """
    try:
        value = _parse(text)
    except json.JSONDecodeError as error:
        raise _invalid(into.filename, error, error.lineno) from error
    _add(value, 1, into)
    title = value.get("title") if isinstance(value, dict) else None
    return title if isinstance(title, str) else None


def read_json_lines(text: str, into: Assembler) -> None:
    """Read one JSON value per line into `into`. Raises UnreadableFile, with the line, for a line that is not JSON."""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = _parse(line)
        except json.JSONDecodeError as error:
            raise _invalid(into.filename, error, number) from error
        _add_item(value, 1, into)


def _parse(text: str) -> Any:
    return json.loads(text, parse_int=str, parse_float=str)  # numbers stay as they are written


def _invalid(filename: str, error: json.JSONDecodeError, line: int) -> UnreadableFile:
    return UnreadableFile(f"{filename} is not valid JSON: {error.msg} at line {line}, column {error.colno}.")


def _add(value: Any, level: int, into: Assembler) -> None:
    if isinstance(value, list):
        for item in value:
            _add_item(item, level, into)
    elif isinstance(value, dict):
        _add_object(value, level, into)
    else:
        into.block(_scalar(value))


def _add_item(item: Any, level: int, into: Assembler) -> None:
    """An item of a list: a row of its own."""
    if isinstance(item, dict):
        add_record(list(_fields(item)), level, into)
    else:
        into.block(record_line(list(_leaves("", item))))


def _add_object(value: Mapping[str, Any], level: int, into: Assembler) -> None:
    """An object's plain values as a record, then a section for each value that holds others."""
    plain = {name: one for name, one in value.items() if level > SECTION_LEVELS or not _nested(one)}
    add_record(list(_fields(plain)), level, into)
    for name, one in value.items():
        if name not in plain:
            into.heading(level, name)
            _add(one, level + 1, into)
            into.close(level)


def _nested(value: Any) -> bool:
    """Whether a value deserves a section: not a list of a few words."""
    if isinstance(value, list):
        return any(isinstance(item, dict | list) for item in value) or len(_joined(value)) > LONG_CELL
    return isinstance(value, dict) and bool(value)


def _fields(value: Mapping[str, Any]) -> Iterator[Field]:
    for name, one in value.items():
        yield from _leaves(name, one)


def _leaves(path: str, value: Any) -> Iterator[Field]:
    """The values inside a value, each with its path: `address.city`, `lines[0].price`."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from _leaves(f"{path}.{name}" if path else name, one)
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for at, one in enumerate(value):
            yield from _leaves(f"{path}[{at}]", one)
    else:
        yield path, _joined(value) if isinstance(value, list) else _scalar(value)


def _joined(values: Sequence[Any]) -> str:
    return ", ".join(map(_scalar, values))


def _scalar(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
