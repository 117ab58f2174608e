"""Remarks on an answer for its reader, in words, from the body of a chat completion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNGROUNDED = "No passage supports this answer: it may be made up."
ENDED_BY = {
    "repetition": "The model began to repeat itself; the answer ends before it does.",
    "guard": "The model's answer was held back: no passage supports it.",
    "scores": "No model was asked: no passage is near the question.",
}


def remarks(body: Mapping[str, Any]) -> list[str]:
    """The remarks of a whole completion, or of the chunk of a stream that has the finish reason."""
    found = [UNGROUNDED] if body.get("grounded") is False else []
    return [*found, *(text for name, text in ENDED_BY.items() if body.get("ended_by") == name)]
