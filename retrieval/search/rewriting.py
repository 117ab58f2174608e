"""Reduces a question to the words worth searching for: polite words are removed. No model is asked."""

from __future__ import annotations

from retrieval.text.courtesies import without_courtesies


def search_terms(query: str) -> str:
    """The query without greetings, thanks and forms of asking; unchanged if nothing else is left."""
    rest = " ".join(query.split())
    while True:
        shorter = without_courtesies(rest)
        if shorter == rest or not shorter.strip(" ?.!"):
            return rest
        rest = shorter
