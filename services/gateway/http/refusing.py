"""OpenAI's fields that are refused, with an explanation, when they ask for something that is not served."""

from __future__ import annotations

from typing import Any

from pydantic import BeforeValidator


def refused(why: str, *harmless: Any) -> BeforeValidator:
    """A field that must be absent, empty, or have a value that asks for nothing (`harmless`)."""

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
