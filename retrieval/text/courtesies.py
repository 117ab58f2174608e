"""Greetings, thanks and forms of asking, in English. Three callers know three sets of them:

- `without_courtesies`, for `retrieval.search.rewriting`: what stands around a question and is not searched for.
- POLITE, for `training.data.wording`: single words, by which two questions may differ and be one.
- GREETING, for `training.judging.style`: how an answer may open, and "sure" and "great" are no courtesy of a question.
"""

from __future__ import annotations

import re

_OPENINGS = (
    r"(?:hello|hi|hey|good (?:morning|afternoon|evening)|dear (?:all|team|sir or madam))\b[,!.]*",
    r"(?:please|thanks|thank you|sorry|excuse me)\b[,!.]*",
    r"(?:i was wondering|i would like to know|i'd like to know|i want to know|i wonder|do you know|tell me|show me)"
    r"(?: (?:if|whether|about))?\b",
    r"(?:can|could|would|will) you (?:please |kindly )?(?:tell|show|explain to|help) (?:me|us)"
    r"(?: (?:if|whether|about))?\b",
    r"(?:can|could|may) i (?:please )?ask\b",
)
_OPENING = re.compile(rf"^(?:{'|'.join(_OPENINGS)})[\s,:]*", re.IGNORECASE)
_CLOSING = re.compile(
    r"[\s,.!]*\b(?:please|thanks(?: a lot| in advance)?|thank you(?: very much)?)\b[.!\s]*$", re.IGNORECASE
)
POLITE = frozenset({"please", "pls", "hi", "hello", "thanks"})
GREETING = re.compile(r"^\s*(?:hi|hello|hey|dear|sure|certainly|of course|thank|sorry|great)\b", re.IGNORECASE)


def without_courtesies(text: str) -> str:
    """The text, on one line, without one courtesy at its beginning and one at its end."""
    return _CLOSING.sub("", _OPENING.sub("", text))
