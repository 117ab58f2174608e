"""Questions that lean on the conversation before them, made to stand alone for retrieval.

Only the search sees the result; the model sees the question as it was asked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_POINTING = (
    "it its they them their theirs he him his she her hers this that these those one ones both either neither former "
    "latter same other another else"
)
POINTING = frozenset(_POINTING.split())
OPENINGS = ("and ", "but ", "or ", "what about", "how about", "what if", "why not", "then ", "also ", "so ")
_FUNCTION_WORDS = (
    "a an the i me my we us our you your who whom whose which what when where why how is are was were be been being am "
    "do does did done have has had having can could will would shall should may might must not no nor so too very just "
    "only also than then there here if or and but as at by for from in into of off on onto out over to up with without "
    "about after before between during until per please tell say said get got any some all each every more most much "
    "many again still yes ok okay thanks thank apply applies mean means work works long far often soon"
)
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
STANDS_ALONE = 5  # a question with this many content words of its own is left alone
MOST_TURNS = 3
MOST_WORDS = 64


def standalone_query(query: str, history: Sequence[str]) -> str:
    """The question as retrieval should see it; `history` is the earlier user turns, oldest first.

    A question that points back ("does it...", "and for..."), or has at most one content word of its own, is preceded
    by the turn before it; that one by its own predecessor where it leans on it too, three turns at most.
    """
    query = query.strip()
    if not history or not _leans(query):
        return query
    context = _with_context(list(history[-MOST_TURNS:]))
    return f"{' '.join(context.split()[-MOST_WORDS:])} {query}".strip()


def _with_context(turns: list[str]) -> str:
    last = turns[-1].strip()
    if len(turns) == 1 or not _leans(last):
        return last
    return f"{_with_context(turns[:-1])} {last}"


def _leans(question: str) -> bool:
    words = [word.casefold() for word in WORD.findall(question)]
    content = [word for word in words if word not in FUNCTION_WORDS and word not in POINTING]
    if len(content) >= STANDS_ALONE:
        return False
    opens = question.casefold().startswith(OPENINGS)
    return opens or len(content) <= 1 or any(word in POINTING for word in words)
