"""The texts of examples as training wants them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from retrieval.text.markers import strip_markers


def new_example_id() -> str:
    return f"ex-{secrets.token_hex(12)}"


def without_markers(messages: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """The conversation with the markers taken out of what the assistant said."""
    return [
        {"role": one["role"], "content": plain(one["content"]) if one["role"] == "assistant" else one["content"]}
        for one in messages
    ]


def plain(text: str) -> str:
    """A text as training wants it: without citation markers."""
    return strip_markers(text).strip()
