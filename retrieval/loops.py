"""An answer that goes round in circles, noticed while it is written and ended before the reader sees the second round.

Small models, and large ones at temperature 0, sometimes repeat a sentence or a list item until their tokens run out.
Songs, tables and lists repeat too, and stop. So what may be the start of another round is held back: it is sent as soon
as the text goes on otherwise, and dropped once there is too much of it to be meant.
"""

from __future__ import annotations

import re
from collections import defaultdict

from retrieval.scripts import UNSPACED, UNSPACED_LETTERS

ROUNDS = 2
"""So many rounds after the first, one right behind the other, make a loop where they have LETTERS letters."""
LETTERS = 240
"""Verses that are sung several times on the spot stay far below: four times "He's got the whole world in his hands"
has 87 letters after the first."""
LONGEST = 400
"""Words of the longest round that is found."""
RUN_ON = 6
"""From so many repeated words on, a round need not begin with a sentence: "and very, very, very"."""
UNSPACED_WORTH = 3
"""A character of a script without spaces between words counts as so many letters."""

_WORD = re.compile(rf"[{UNSPACED_LETTERS}]|[^\W_{UNSPACED_LETTERS}]+")
_SENTENCE_END = re.compile(r"[.!?;:|\u3002\uff01\uff1f\u061f\u0964\n]")
_KEPT = re.compile(r"[^\n]*[.!?\u3002\uff01\uff1f\u061f\u0964\])}\"'\u2019\u201d\u00bb\u3011]")
"""What belongs to the sentence before: its end, its markers, its closing quote."""
_NUMBERED = re.compile(r"\n\W*$|[\[\u3010][\d\s,;-]*$")
"""Before a number that counts list items or passages, and changes from round to round."""


class LoopWatch:
    """Reads one answer as it comes and says what of it may be sent.

    Words are compared without case and punctuation, and without citation markers and the numbers of list items.
    """

    def __init__(self) -> None:
        self.looping = False
        self._text, self._sent, self._scanned, self._word_end = "", 0, 0, 0
        self._words: list[str] = []
        self._begins_sentence: list[bool] = []
        self._cut_before: list[int] = []
        self._letters = [0]
        self._places: dict[str, list[int]] = defaultdict(list)
        self._runs: dict[int, int] = {}
        self._held: dict[int, int] = {}

    def feed(self, text: str) -> str:
        """Take the next piece of the answer; what may be sent now, which may be nothing.

        Once `looping` is true the answer is over, and what was held back is never sent.
        """
        self._text += text
        for word in _WORD.finditer(self._text, self._scanned):
            if word.end() == len(self._text) and not _unspaced(word.group()):
                break  # the next piece may go on with it
            self._scanned = word.end()
            self._take(word)
            if self._is_loop():
                self.looping = True
                break
        return self._up_to(self._free())

    def rest(self, cut_short: bool) -> str:
        """What is held back when the model has ended; nothing where it was `cut_short` within another round."""
        self.looping |= cut_short and any(self._runs[period] >= period for period in self._held)
        return self._up_to(self._free() if self.looping else len(self._text))

    def _up_to(self, end: int) -> str:
        start, self._sent = self._sent, max(self._sent, end)
        return self._text[start : self._sent]

    def _take(self, found: re.Match[str]) -> None:
        gap = self._text[self._word_end : found.start()]
        if found.group().isdigit() and _NUMBERED.search(gap if self._words else f"\n{gap}"):
            return
        word, place = found.group().casefold(), len(self._words)
        self._words.append(word)
        self._begins_sentence.append(not place or bool(_SENTENCE_END.search(gap)))
        self._cut_before.append(self._word_end + _kept(gap))
        self._letters.append(self._letters[-1] + (UNSPACED_WORTH if _unspaced(word) else len(word)))
        self._word_end = found.end()
        earlier = (at for at in reversed(self._places[word]) if place - at <= LONGEST)
        self._runs = {place - at: self._runs.get(place - at, 0) + 1 for at in earlier}
        self._places[word] = [*self._places[word][-LONGEST:], place]
        self._held = {period: at for period in self._runs if (at := self._round_from(period)) is not None}

    def _round_from(self, period: int) -> int | None:
        """The word from which the text may be another round of `period` words, if it may."""
        if period in self._held and self._runs[period] > 1:
            return self._held[period]
        begun = len(self._words) - self._runs[period]
        if self._begins_sentence[-1]:
            return len(self._words) - 1
        return begun if self._runs[period] >= max(period, RUN_ON) else None

    def _is_loop(self) -> bool:
        return any(
            self._runs[period] >= ROUNDS * period
            and self._letters[-1] - self._letters[-1 - self._runs[period]] >= LETTERS
            for period in self._held
        )

    def _free(self) -> int:
        """The end of what is no part of another round, as far as can be told yet."""
        if self._held:
            end = self._cut_before[min(self._held.values())]
            return self._word_at(self._sent) if self.looping and end < self._sent else end
        begun = _WORD.search(self._text, self._scanned)
        gap = self._text[self._word_end : begun.start() if begun else len(self._text)]
        if not self._words or not _SENTENCE_END.search(gap):
            return len(self._text)
        word = begun.group().casefold() if begun else ""
        said_before = any(one.startswith(word) for one in self._places)
        return self._word_end + _kept(gap) if said_before else len(self._text)

    def _word_at(self, place: int) -> int:
        """The end of the word that was begun to be sent before it was known that it loops."""
        found = _WORD.match(self._text, place)
        return found.end() if found else place


def _unspaced(word: str) -> bool:
    return len(word) == 1 and UNSPACED.match(word) is not None


def _kept(gap: str) -> int:
    found = _KEPT.match(gap)
    return found.end() if found else 0
