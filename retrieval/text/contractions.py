"""Two words written as one with an apostrophe, in English."""

from __future__ import annotations

import re

CONTRACTION = re.compile(
    r"\b\w+(?:n['\u2019]t|['\u2019](?:ll|re|ve|m|d))\b|\b(?:it|that|what|here|there|let)['\u2019]s\b", re.IGNORECASE
)
_IS = re.compile(r"\b(what|it|that|there|here|how|where|who|when|why)'s\b")
_NOT = re.compile(r"n't\b")


def spelled_out(text: str) -> str:
    """Lower-case text with a straight apostrophe, with its "not" and "is" as words: "can't" as "can not".

    Other forms of `CONTRACTION`, by which a style is recognised, stay unchanged: "'ll", "'re" and similar ones, and
    "let's".
    """
    plain = text.replace("cannot", "can not").replace("can't", "can not").replace("won't", "will not")
    return _NOT.sub(" not", _IS.sub(r"\1 is", plain))
