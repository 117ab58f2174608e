"""What a line begins with that is no part of its sentence: marks of list items and of headings, in Markdown.

List items: an answer's number counts from 1 to 99 for LIST_MARK, which is taken off before a sentence is checked; a
style counts every BULLET that has something behind it; LIST_NUMBER is a number alone, that is no fact; ITEM_OPENED and
ITEM_CLOSED stand around a number of which the watch on loops has read no more yet. Headings: a style takes bold words
with a colon for one, the guard (HEADLINE) only those without a full stop, and it reads one line.
"""

from __future__ import annotations

import re

LIST_MARK = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s+")
BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+\S", re.MULTILINE)
LIST_NUMBER = re.compile(r"^\s*\d+[.)]\s", re.MULTILINE)
ITEM_OPENED = re.compile(r"\n\W*$")
ITEM_CLOSED = re.compile(r"[.):\u3001\uff0e\uff09\uff1a](?!\d)")
HEADING = re.compile(r"^\s*(?:#{1,6}\s+\S|\*\*[^*]+\*\*:?\s*$)", re.MULTILINE)
HEADLINE = re.compile(r"#{1,6}\s|\*\*[^*\n]*[^*\s.!?]\*\*\s*$")
RULED = re.compile(r"\s*\|?[ \t]*:?-{2,}")
"""The line below an underlined heading, and below a table's header row: neither of the two states anything."""
