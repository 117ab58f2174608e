"""OpenAI's preference format, one JSON object a line:
`{"input": {"messages": [...]}, "preferred_output": [...], "non_preferred_output": [...]}`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from retrieval.model import Message
from training.config import DatasetSettings
from training.dataset import parse_dataset
from training.errors import InvalidDataset
from training.model import Example

KEYS = ("input", "preferred_output", "non_preferred_output")
SHOWN = 20


@dataclass(frozen=True)
class Preference:
    """Two answers to one conversation, whose last message is the user's."""

    prompt: tuple[Message, ...]
    preferred: str
    rejected: str


def holds_preferences(data: bytes) -> bool:
    """Whether the first line is a preference, rather than a conversation."""
    first = next((line for line in data.splitlines() if line.strip()), b"")
    try:
        row = json.loads(first)
    except ValueError:
        return False
    return isinstance(row, dict) and "messages" not in row and any(key in row for key in KEYS)


def parse_preferences(data: bytes, settings: DatasetSettings | None = None) -> tuple[Preference, ...]:
    """Read preferences, one JSON object a line. Each output is one message, the assistant's.

    Raises InvalidDataset that names every bad line by its number, or says that there are too few.
    """
    rows, problems = _rows(data)
    if problems:
        shown = "; ".join(problems[:SHOWN]) + (f"; and {len(problems) - SHOWN} more" if problems[SHOWN:] else "")
        raise InvalidDataset(f"The data set has lines that are no preferences: {shown}.", problems=problems)
    preferred, rejected = (_conversations(rows, key, settings) for key in KEYS[1:])
    return tuple(
        Preference(good.messages[:-1], good.answer, bad.answer) for good, bad in zip(preferred, rejected, strict=True)
    )


def _rows(data: bytes) -> tuple[list[dict[str, Any] | None], list[str]]:
    """Each line's object, None for an empty line, and what is wrong with the shape of the others."""
    rows: list[dict[str, Any] | None] = []
    problems: list[str] = []
    for number, line in enumerate(data.decode("utf-8-sig", errors="replace").splitlines(), start=1):
        problem, row = _shape(line) if line.strip() else (None, None)
        problems += [f"line {number}: {problem}"] if problem else []
        rows.append(row)
    return rows, problems


def _shape(line: str) -> tuple[str | None, dict[str, Any] | None]:
    try:
        row = json.loads(line)
    except ValueError as error:
        return f"not JSON ({error})", None
    if not isinstance(row, dict):
        return "not an object", None
    asked = row.get("input")
    if not isinstance(asked, dict) or not isinstance(asked.get("messages"), list):
        return 'no "messages" list in its "input"', None
    for key in KEYS[1:]:
        if not isinstance(row.get(key), list) or len(row[key]) != 1:
            return f'"{key}" is not a list of one message', None
    return (None, row) if row[KEYS[1]] != row[KEYS[2]] else ("both outputs are the same", None)


def _conversations(
    rows: Sequence[dict[str, Any] | None], key: str, settings: DatasetSettings | None
) -> tuple[Example, ...]:
    """The conversations that end with one of the outputs, checked as such; line numbers stay."""
    lines = [json.dumps({"messages": [*row["input"]["messages"], *row[key]]}) if row else "" for row in rows]
    try:
        return parse_dataset("\n".join(lines).encode(), settings).examples
    except InvalidDataset as error:
        raise InvalidDataset(f"With {key}: {error}", problems=error.problems) from error
