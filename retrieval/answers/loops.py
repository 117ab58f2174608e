"""Notices that an answer repeats itself while it is written, and ends it before the reader sees the first repetition.

Small models, and large ones at temperature 0, sometimes repeat a sentence or a list item until their tokens run out.
Songs, tables and lists repeat too, but stop. So text that may begin a repetition is held back. It is sent as soon as
the text continues differently, and dropped once there is too much of it to be intended.
"""

from __future__ import annotations

import re
from collections import defaultdict

from retrieval.text.layout import ITEM_CLOSED, ITEM_OPENED
from retrieval.text.markers import MARKER_OPENED
from retrieval.text.scripts import UNSPACED
from retrieval.text.sentences import ROUND_END, ROUND_TAIL
from retrieval.text.words import LONGEST_WORD, ROUND_WORD

ROUNDS = 2
"""This many rounds after the first, directly one after another, are a loop if they have LETTERS letters."""
LETTERS = 400
"""Intended repetition stays below: four times "He's got the whole world in his hands" has 87 letters after the first,
and twelve equal rows of a table some 300. None of them is sent, so a loop costs about 100 tokens.
"""
LONGEST = 400
"""Words in the longest round that is found."""
RUN_ON = 30
"""From this many repeated letters on, a round may begin within a sentence: "and very, very, very"; Thai has no full
stop at all.
"""
UNSPACED_WORTH = 3
"""A character of a script without spaces between words counts as this many letters."""
DIGIT_WORTH = 0.2
"""A digit of a number counts as this many letters: matrices and memory dumps have hundreds of zeros in a row."""
LONGEST_GAP = 200
"""Characters between two words that are read: a ruled line, dots or blank lines may be endless."""


class LoopWatch:
    """Reads one answer as it arrives and says which part of it may be sent.

    Words are compared without case and punctuation, and without citation markers and the numbers of list items.
    """

    def __init__(self) -> None:
        self.looping = False
        self._text, self._sent, self._scanned, self._word_end = "", 0, 0, 0
        self._words: list[str] = []
        self._begins_sentence: list[bool] = []
        self._cut_before: list[int] = []
        self._letters = [0.0]
        self._places: dict[str, list[int]] = defaultdict(list)
        self._runs: dict[int, int] = {}
        self._held: dict[int, int] = {}

    def feed(self, text: str) -> str:
        """Take the next piece of the answer; returns what may be sent now, which may be nothing.

        Once `looping` is true the answer is over, and the text that was held back is never sent.
        """
        self._text += text
        for word in ROUND_WORD.finditer(self._text, self._scanned):
            if not self._is_whole(word):
                self._scanned = word.start()
                break
            self._take(word)
            if self._is_loop():
                self.looping = True
                break
        else:
            self._scanned = len(self._text)
        return self._up_to(self._free())

    def rest(self, cut_short: bool) -> str:
        """The text still held back when the model has ended; nothing if it was `cut_short` within another round."""
        again = (run for period in self._held if (run := self._runs[period]) >= period)
        self.looping |= cut_short and any(self._letters_of(run) >= RUN_ON for run in again)
        return self._up_to(self._free() if self.looping else len(self._text))

    def _up_to(self, end: int) -> str:
        start, self._sent = self._sent, max(self._sent, end)
        return self._text[start : self._sent]

    def _is_whole(self, word: re.Match[str]) -> bool:
        """Whether no later piece can continue the word. For a number, the text after it must have arrived too."""
        text, end = word.group(), word.end()
        if _unspaced(text) or len(text) == LONGEST_WORD:
            return True
        needed = 2 if text.isdigit() and self._text[end : end + 1] in (".", ":") else 1
        return end + needed <= len(self._text)

    def _take(self, found: re.Match[str]) -> None:
        if found.group().isdigit() and self._counts(found):
            return
        gap = self._text[self._word_end : min(found.start(), self._word_end + LONGEST_GAP)]
        word, place = found.group().casefold(), len(self._words)
        self._words.append(word)
        self._begins_sentence.append(not place or bool(ROUND_END.search(gap)))
        self._cut_before.append(self._word_end + _kept(gap))
        self._letters.append(self._letters[-1] + _worth(word))
        self._word_end = found.end()
        earlier = (at for at in reversed(self._places[word]) if place - at <= LONGEST)
        self._runs = {place - at: self._runs.get(place - at, 0) + 1 for at in earlier}
        self._places[word] = [*self._places[word][-LONGEST:], place]
        begins = self._begins_sentence[-1]
        candidates = (period for period, run in self._runs.items() if begins or run > 1)
        self._held = {period: at for period in candidates if (at := self._round_from(period)) is not None}

    def _counts(self, number: re.Match[str]) -> bool:
        """Whether a number counts list items or passages, and changes from round to round. The first cell of a row, or
        a time of day, does not count in this sense: it makes rows different.
        """
        gap = self._text[max(self._word_end, number.start() - LONGEST_GAP) : number.start()]
        item = ITEM_OPENED.search(gap if self._words else f"\n{gap}") and ITEM_CLOSED.match(self._text, number.end())
        return bool(item or MARKER_OPENED.search(gap))

    def _round_from(self, period: int) -> int | None:
        """The word from which the text may be another round of `period` words, if it may."""
        if period in self._held and self._runs[period] > 1:
            return self._held[period]
        run = self._runs[period]
        if self._begins_sentence[-1]:
            return len(self._words) - 1
        return len(self._words) - run if run >= max(period, 2) or self._letters_of(run) >= RUN_ON else None

    def _is_loop(self) -> bool:
        return any(
            self._runs[period] >= ROUNDS * period and self._letters_of(self._runs[period]) >= LETTERS
            for period in self._held
        )

    def _letters_of(self, run: int) -> float:
        return self._letters[-1] - self._letters[-1 - run]

    def _free(self) -> int:
        """The end of the text that is not part of another round, as far as this is known yet."""
        if self._held:
            end = self._cut_before[min(self._held.values())]
            return self._word_at(self._sent) if self.looping and end < self._sent else end
        begun = ROUND_WORD.search(self._text, self._scanned)
        gap = self._text[self._word_end : begun.start() if begun else len(self._text)][:LONGEST_GAP]
        if not self._words or not ROUND_END.search(gap):
            return len(self._text)
        word = begun.group().casefold() if begun else ""
        said_before = word.isdigit() or any(one.startswith(word) for one in self._places)
        return self._word_end + _kept(gap) if said_before else len(self._text)

    def _word_at(self, place: int) -> int:
        """The end of the word whose first part was sent before it was known that it loops."""
        found = ROUND_WORD.match(self._text, place)
        return found.end() if found else place


def _unspaced(word: str) -> bool:
    return len(word) == 1 and UNSPACED.match(word) is not None


def _worth(word: str) -> float:
    if word.isdigit():
        return len(word) * DIGIT_WORTH
    return UNSPACED_WORTH if _unspaced(word) else len(word)


def _kept(gap: str) -> int:
    found = ROUND_TAIL.match(gap)
    return found.end() if found else 0
