"""Fields of OpenAI's that are refused in words where they ask for what is not served."""

from __future__ import annotations

from typing import Any

from pydantic import BeforeValidator


def refused(why: str, *harmless: Any) -> BeforeValidator:
    """A field that may only be absent, or stand at a value that asks for nothing: `harmless`, or what is empty."""

    def check(value: Any) -> None:
        empty = value is None or value is False or value in ("", []) or _says_nothing(value)
        if not empty and value not in harmless:
            raise ValueError(why)

    return BeforeValidator(check)


def _says_nothing(value: Any) -> bool:
    return isinstance(value, dict) and not any(value.values())


def refused_even_empty(why: str) -> BeforeValidator:
    """As `refused`, for a field that asks for something even as `{}`."""

    def check(value: Any) -> None:
        if value is not None:
            raise ValueError(why)

    return BeforeValidator(check)
