"""A question as people put it to the words worth searching for. No model is asked: courtesy goes, the matter stays."""

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


def search_terms(query: str) -> str:
    """The query without greetings, thanks and forms of asking; as it is where nothing else is left."""
    rest = " ".join(query.split())
    while True:
        shorter = _CLOSING.sub("", _OPENING.sub("", rest))
        if shorter == rest or not shorter.strip(" ?.!"):
            return rest
        rest = shorter
