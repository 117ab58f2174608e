"""Words for what was named elsewhere, and for who speaks. English only."""

from __future__ import annotations

import re

_POINTING = (
    "it its they them their theirs he him his she her hers this that these those one ones both either neither former "
    "latter same other another else"
)
POINTING = frozenset(_POINTING.split())
"""They point back to what was said before: a question that has one leans on the conversation."""
CONNECTIVES = ("and ", "but ", "or ", "what about", "how about", "what if", "why not", "then ", "also ", "so ")
"""A question that begins so goes on with the one before it."""
FIRST = re.compile(r"\b(?:I|me|my|mine|myself)\b")
FIRST_PLURAL = re.compile(r"\b(?:we|us|our|ours)\b", re.IGNORECASE)
SECOND = re.compile(r"\b(?:you|your|yours|yourself)\b", re.IGNORECASE)
