"""Where a sentence ends.

Four callers ask, and no two of their patterns are one:

- SENTENCE_END, of `sentences`: prompt, checks, style and training pairs count by it. A full stop of Latin letters needs
  a space behind it, those of FULL_STOPS need none, and a line's end is a sentence's.
- ROUND_END: the watch on loops (`retrieval.answers.loops`) takes a colon, a semicolon and a table's bar as well, since
  another round may begin behind any of them, and needs no space.
- CHUNK_END: the chunker (`retrieval.documents.splitting`) cuts English by NLTK and asks for the rest alone.
- LINE_END: the PDF reader looks for the rest of a sentence within one line, in Latin letters alone.
"""

from __future__ import annotations

import re

from retrieval.text.markers import MARKER
from retrieval.text.words import WORD

FULL_STOPS = "\u3002\uff01\uff1f\uff61\u0964\u0965\u06d4\u1362\u17d4\u104b"
"""Of Chinese and Japanese, Hindi, Urdu, Amharic, Khmer, Burmese. They end a sentence without a space behind."""
ENDS = f".!?\u061f{FULL_STOPS}"
"""The signs that a sentence may end with."""
CLOSING = "\u300d\u300f\uff09\u201d\u2019\u3011\u300b"
"""Quotes and brackets that belong to the sentence before them, behind one of FULL_STOPS."""
SENTENCE_END = re.compile(
    rf"[\n.!?\u061f\uff0e{FULL_STOPS}]"
    r"(?:"
    rf"(?<=[.!?\u061f])(?:{MARKER})*\s+(?=\S)"
    rf"|(?:(?<=[{FULL_STOPS}])|(?<=\uff0e)(?!\d))(?![{FULL_STOPS}])"
    rf"[{CLOSING}]*(?:{MARKER})*\s*(?=\S)"
    r"|(?<=\n)\n*"
    r")"
)
ROUND_END = re.compile(rf"[.!?;:|\u061f{FULL_STOPS}\n]")
ROUND_TAIL = re.compile(rf"[^\n]*[{ENDS}\])}}\"'\u2019\u201d\u00bb\u3011]")
"""What belongs to the sentence before, for the watch on loops: its end, its markers, its closing quote."""
CHUNK_END = re.compile(rf"[\u061f{FULL_STOPS}]+[{CLOSING}]*\s*")
LINE_END = re.compile(r"[.!?](?=\s|$)")
CLAUSE_END = ",;\u060c\u3001\uff0c\uff1a\uff1b"
"""A run without spaces that fits no chunk is cut behind one of these."""
NO_STATEMENT = tuple(",:?!\uff0c\uff1a\uff1f\uff01\u061f\u060c")
"""Salutations, courtesies, questions and introductions to lists end like this: the guard reads the sentence
after them."""
NO_HEADER = tuple(".!?:;,-\u3002\uff01\uff1f\uff1a\uff1b\uff0c\u3001")
"""A line that ends like this is a sentence, or introduces what is below it; it is not a page's header."""


def sentences(text: str) -> list[tuple[int, int]]:
    """Spans of the text's sentences and list items. A marker after the full stop belongs to the sentence before it."""
    spans, position = [], 0
    for match in SENTENCE_END.finditer(text):
        end = match.start() + len(match.group().rstrip())
        spans.append((position, end))
        position = match.end()
    spans.append((position, len(text)))
    return [(start, end) for start, end in spans if WORD.search(text[start:end])]
