"""Words without their endings. Both ways are for English only.

`stem` removes more than `singular`, which leaves words that a person can read: the terms of a style are shown.
"""

from __future__ import annotations


def stem(word: str) -> str:
    """A lower-case word without its usual endings; a word with a digit stays unchanged."""
    if any(letter.isdigit() for letter in word):
        return word
    for ending in ("ies", "ing", "es", "ed", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def singular(word: str) -> str:
    """A lower-case word without the s of a plural."""
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
