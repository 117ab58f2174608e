"""Data sets: OpenAI `messages` JSONL, checked line by line, frozen and split."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from retrieval.model import Message
from training.config import DatasetSettings
from training.errors import InvalidDataset
from training.model import Dataset, DatasetReport, Example

ROLES = ("system", "user", "assistant")
SHOWN = 20


class _BadLine(Exception):
    """What is wrong with one line."""


def parse_dataset(data: bytes, settings: DatasetSettings | None = None) -> Dataset:
    """Read training examples, one JSON object a line: `{"messages": [...], "metadata": {...}}`.

    `metadata.document` may name the file that answers; `null` there marks a question that no document answers. Empty
    lines are skipped. The last turn has to be the assistant's, the one before it the user's.

    Raises InvalidDataset that names every bad line by its number (the first 20 in the message, all in `problems`), or
    says that there are too few examples.
    """
    minimum = (settings or DatasetSettings()).min_examples
    examples: list[Example] = []
    problems: list[str] = []
    for number, line in enumerate(_text(data).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            examples.append(_example(line))
        except _BadLine as problem:
            problems.append(f"line {number}: {problem}")
    if problems:
        raise InvalidDataset(_summary(problems), problems=problems)
    if len(examples) < minimum:
        raise InvalidDataset(f"The data set has {len(examples)} examples; at least {minimum} are needed.")
    return Dataset(tuple(examples), hashlib.sha256(data).hexdigest())


def split(dataset: Dataset, settings: DatasetSettings) -> tuple[list[Example], list[Example]]:
    """Training and held-out examples, the same for the same data and seed.

    Refusals and answers are split in the same proportion. Examples that ask the same question stay on one side, so
    that nothing held out was trained on.
    """
    held_out: set[str] = set()
    for refuses in (False, True):
        questions = sorted({_key(example) for example in dataset.examples if example.refuses is refuses})
        random.Random(settings.seed).shuffle(questions)
        share = settings.max_held_out * len(questions) / max(1, len(dataset.examples))
        held_out.update(questions[: round(min(len(questions) * settings.share_held_out, share))])
    train = [example for example in dataset.examples if _key(example) not in held_out]
    return train, [example for example in dataset.examples if _key(example) in held_out]


def describe(dataset: Dataset, train: Sequence[Example], held_out: Sequence[Example]) -> DatasetReport:
    """The split in figures."""
    return DatasetReport(
        examples=len(dataset.examples),
        trained=len(train),
        held_out=len(held_out),
        refusals=sum(example.refuses for example in dataset.examples),
        sha256=dataset.sha256,
    )


def _key(example: Example) -> str:
    return " ".join(example.question.lower().split())


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InvalidDataset(
            f"The data set is not UTF-8: line {line} has the byte {data[error.start]:#04x}. Save it as UTF-8."
        ) from error


def _summary(problems: Sequence[str]) -> str:
    shown = "; ".join(problems[:SHOWN])
    more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    count = "1 line" if len(problems) == 1 else f"{len(problems)} lines"
    return f"The data set has {count} that cannot be trained on: {shown}{more}."


def _example(line: str) -> Example:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise _BadLine(f"not JSON ({error})") from error
    if not isinstance(row, dict) or not isinstance(row.get("messages"), list) or not row["messages"]:
        raise _BadLine('no "messages" list')
    metadata = row.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise _BadLine('"metadata" is not an object')
    messages = tuple(_message(position, message) for position, message in enumerate(row["messages"], start=1))
    _check_turns(messages)
    return Example(messages, metadata)


def _message(position: int, message: Any) -> Message:
    if not isinstance(message, Mapping):
        raise _BadLine(f"message {position} is not an object")
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise _BadLine(f"message {position} has the unknown role {role!r}; known are {', '.join(ROLES)}")
    if not isinstance(content, str) or not content.strip():
        raise _BadLine(f"message {position} ({role}) has no text as its content")
    return Message(cast(Literal["system", "user", "assistant"], role), content.strip())


def _check_turns(messages: Sequence[Message]) -> None:
    roles = [message.role for message in messages]
    if "assistant" not in roles:
        raise _BadLine("no assistant turn")
    if roles[-1] != "assistant":
        raise _BadLine(f"the last turn is the {roles[-1]}'s, not the assistant's")
    if len(roles) < 2 or roles[-2] != "user":
        raise _BadLine("the assistant's last turn does not follow a user's")
