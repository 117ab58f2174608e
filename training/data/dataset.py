"""Data sets: training files read row by row, and their canonical form, which is hashed and kept.

Needs nothing but Python: the gateway checks uploads with it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from retrieval.model import Message
from training.config import ExampleSettings
from training.data.formats import Format, read_example
from training.data.reading import BadRow, read_rows
from training.errors import InvalidDataset
from training.model import Example

SHOWN = 20


@dataclass(frozen=True)
class Dataset:
    """Examples, frozen. `sha256` is over their canonical form and does not depend on the format that they were read
    from.

    `unread` gives, for each key without a meaning here, the number of rows that have it.
    """

    examples: tuple[Example, ...]
    sha256: str
    format: str = "messages"
    unread: Mapping[str, int] = field(default_factory=dict)

    @property
    def has_preferences(self) -> bool:
        """Whether every example has a rejected answer beside its own; such a set is only for preference training."""
        return any(example.rejected is not None for example in self.examples)


def parse_dataset(data: bytes, settings: ExampleSettings | None = None) -> Dataset:
    """Read training examples: JSONL or one JSON list, in one of the formats of `training.data.formats`.

    `metadata` is kept. Its `document` may name the file that answers; `null` there marks a question that no document
    answers. Its `answer_id` may name the answer in the journal that the example was made from. The last turn must be
    the assistant's. Every answer to a user's turn is learned, unless it has the weight 0.

    Raises InvalidDataset, which names every bad line by its number (the first 20 in the message, all in `problems`), or
    says that formats are mixed, or that there are too few examples.
    """
    minimum = (settings or ExampleSettings()).min_examples
    examples: list[Example] = []
    problems: list[str] = []
    formats: dict[Format, list[int]] = {}
    unread: Counter[str] = Counter()
    for line, row in read_rows(data):
        try:
            if isinstance(row, BadRow):
                raise row
            name, example, left = read_example(row, line)
        except BadRow as problem:
            problems.append(f"line {line}: {problem}")
        else:
            examples.append(example)
            formats.setdefault(name, []).append(line)
            unread.update(left)
    if problems:
        raise InvalidDataset(_summary(problems), problems=problems)
    _refuse_mixed(formats)
    check_count(len(examples), minimum)
    return Dataset(tuple(examples), digest(canonical(examples)), next(iter(formats), "messages"), dict(unread))


def check_count(examples: int, minimum: int) -> None:
    """Raises InvalidDataset if there are too few."""
    if examples < minimum:
        count = "1 example" if examples == 1 else f"{examples} examples"
        raise InvalidDataset(f"The data set has {count}; at least {minimum} are needed.")


def canonical(examples: Sequence[Example]) -> bytes:
    """Examples as JSONL that `parse_dataset` can read: the same content gives the same bytes, whatever its format was.

    The order matters: it decides in which order a run learns.
    """
    lines = (json.dumps(_row(one), ensure_ascii=False, sort_keys=True, separators=(",", ":")) for one in examples)
    return "".join(f"{line}\n" for line in lines).encode()


def digest(content: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _row(example: Example) -> dict[str, Any]:
    turns = [_turn(message, place in example.unlearned) for place, message in enumerate(example.messages)]
    metadata = {"metadata": dict(example.metadata)} if example.metadata else {}
    if example.rejected is None:
        return {"messages": turns, **metadata}
    rejected = [{"role": "assistant", "content": example.rejected}]
    return {"prompt": turns[:-1], "chosen": turns[-1:], "rejected": rejected, **metadata}


def _turn(message: Message, is_unlearned: bool) -> dict[str, Any]:
    """The weight is written only if it is not the default: a data set without weights looks as if there were none."""
    return {"role": message.role, "content": message.content, **({"weight": 0} if is_unlearned else {})}


def _refuse_mixed(formats: dict[Format, list[int]]) -> None:
    if len(formats) > 1:
        counted = "; ".join(f"{name}: {_lines(lines)}" for name, lines in formats.items())
        raise InvalidDataset(f"The data set mixes formats ({counted}). Put each into a file of its own.")


def _lines(lines: Sequence[int]) -> str:
    return f"line {lines[0]}" if len(lines) == 1 else f"{len(lines)} lines from line {lines[0]} on"


def _summary(problems: Sequence[str]) -> str:
    shown = "; ".join(problems[:SHOWN])
    more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    count = "1 line" if len(problems) == 1 else f"{len(problems)} lines"
    return f"The data set has {count} that cannot be trained on: {shown}{more}."
