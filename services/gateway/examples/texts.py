"""The texts of examples in the form that training needs."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from retrieval.text.markers import strip_markers


def new_example_id() -> str:
    return f"ex-{secrets.token_hex(12)}"


def without_markers(messages: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """The conversation with citation markers removed from the assistant's turns."""
    return [
        {"role": one["role"], "content": plain(one["content"]) if one["role"] == "assistant" else one["content"]}
        for one in messages
    ]


def plain(text: str) -> str:
    """A text in the form that training needs: without citation markers."""
    return strip_markers(text).strip()
