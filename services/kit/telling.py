"""What an error may say in a log and in a job's reason: nothing that users wrote.

The messages of our own errors are written for readers. Those of others may quote their input: a ValueError its
argument, pydantic the whole input, PostgreSQL the row in its DETAIL. Of these only the kind and the place are reported.
"""

from __future__ import annotations

import builtins
import traceback
from pathlib import Path

from pydantic import ValidationError

OWN = ("retrieval", "training", "services")
PLAIN = {
    "sqlalchemy", "sqlite3", "redis", "kombu", "celery", "billiard", "httpx", "httpcore", "anyio", "qdrant_client",
    "fsspec", "botocore", "torch", "safetensors_rust", "subprocess", "json", "tomllib", "pydantic_settings",
}  # fmt: skip
"""Libraries whose errors say in their first line what went wrong with a machine, and nothing else."""
MACHINE = (OSError, ImportError, MemoryError, RuntimeError, UnicodeError)
QUOTING = ("value_error", "assertion_error", "union_tag_invalid")
"""The errors of pydantic whose text may contain the input."""


def words_of(error: BaseException) -> str:
    """The part of an error's text that may be shown; empty for an error whose text may quote a user's text."""
    if isinstance(error, ValidationError):
        return _fields(error)
    package = type(error).__module__.partition(".")[0]
    if package in OWN:
        return str(error)
    is_machine = package == builtins.__name__ and isinstance(error, MACHINE)
    return str(error).partition("\n")[0] if is_machine or package in PLAIN else ""


def told(error: BaseException) -> str:
    """An error in one line: its kind and its text, or its kind and where it was raised."""
    words, kind = words_of(error), type(error).__name__
    return f"{kind}: {words}" if words else f"{kind}{_place(error)}"


def traced(error: BaseException) -> str:
    """An error with its trace and those of the errors that caused it, the first cause first."""
    parts: list[str] = []
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        frames = "".join(traceback.format_tb(one.__traceback__))
        parts.append(f"Traceback (most recent call last):\n{frames}{told(one)}")
        waiting += _behind(one)
    return "\n\n".join(reversed(parts))


def _behind(error: BaseException) -> list[BaseException]:
    inside = list(error.exceptions) if isinstance(error, BaseExceptionGroup) else []
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return [*inside, cause] if cause else inside


def _fields(error: ValidationError) -> str:
    """What is wrong with which field, for example of a setting, without the field's value."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    said = (one["type"] if one["type"] in QUOTING else one["msg"] for one in found)
    places = (".".join(map(str, one["loc"])) for one in found)
    return f"{error.title}: " + "; ".join(f"{place}: {what}" for place, what in zip(places, said, strict=True))


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return ""
    path = Path(frames[-1].filename)
    place = f"{path.parent.name}/{path.name}, line {frames[-1].lineno}"
    return f" at {place}; its words are left out, since they may quote a text"
