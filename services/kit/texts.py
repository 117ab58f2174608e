"""Texts that can be stored and sent: without a NUL, which PostgreSQL takes nowhere, and without half of a surrogate
pair, which no UTF-8 can hold. JSON spells both (`\\u0000`, `\\ud83d`), and Python reads both without a word.
"""

from __future__ import annotations

import json
import re
from typing import Any

UNFIT = re.compile("[\x00\ud800-\udfff]")


def what_is_unfit(text: str) -> str | None:
    """The part of a text that cannot be stored, in words; None if all of it can."""
    found = UNFIT.search(text)
    if found is None:
        return None
    return "a NUL character" if found[0] == "\x00" else f"half of a surrogate pair (\\u{ord(found[0]):04x})"


def place_of_unfit(value: Any) -> tuple[str, str] | None:
    """The first text in a JSON value, keys included, that cannot be stored: its place, and what is wrong with it.

    A place has the form `messages.0.content`; it is empty if the value itself is a text.
    """
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        place, one = waiting.pop()
        if isinstance(one, str):
            if what := what_is_unfit(one):
                return place, what
        elif isinstance(one, dict | list):
            inside = list(one.items() if isinstance(one, dict) else enumerate(one))
            for key, _ in inside:
                if what := what_is_unfit(str(key)):
                    return _inside(place, ascii(key)[1:-1]), what
            waiting += [(_inside(place, key), item) for key, item in reversed(inside)]
    return None


def _inside(place: str, key: object) -> str:
    return f"{place}.{key}" if place else str(key)


def read_stored_json(stored: str | bytes) -> Any:
    """JSON from the database, with U+FFFD for each half of a pair and NUL that was stored before such texts were
    refused: one of them in one row gave a 500 for every list with that row.
    """
    text = stored.decode() if isinstance(stored, bytes) else stored
    value = json.loads(text)
    return mended(value) if "\\ud" in text or "\\u0000" in text else value


def mended(value: Any) -> Any:
    """A JSON value with U+FFFD in place of what cannot be stored in its texts."""
    if isinstance(value, str):
        return UNFIT.sub("\ufffd", value)
    if isinstance(value, dict):
        return {mended(key): mended(one) for key, one in value.items()}
    if isinstance(value, list):
        return [mended(one) for one in value]
    return value
