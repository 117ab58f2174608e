"""Figures, figures in words, and the names of months and days. The words are English, the signs Han and ASCII."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

FIGURE = re.compile(r"\d+(?:[.,:]\d+)*")
"""A number with its separators: 1,234.50 and 14:30 are one each."""
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_HAN_NUMBER = re.compile("[〇零一二两兩三四五六七八九十百千万萬]+")
_FIGURE_WORDS = (
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen twenty thirty forty fifty sixty seventy eighty ninety"
)
FIGURE_WORDS = dict(zip(_FIGURE_WORDS.split(), map(str, [*range(2, 21), *range(30, 100, 10)]), strict=True))
"""Not "one", which is mostly none ("the one that")."""
_DATES = (
    "january february march april june july august september october november december monday tuesday wednesday "
    "thursday friday saturday sunday"
)
DATES = frozenset(_DATES.split())
"""Not May, which is a verb as well."""


def without_thousands(text: str) -> str:
    """The text with 1,234.50 as 1234.50: two spellings of one figure."""
    return _THOUSANDS.sub(lambda thousands: thousands.group().replace(",", ""), text)


def figures(text: str, words: Sequence[str]) -> Iterator[str]:
    """The text's figures in ASCII digits, those in Han characters, and those among its lower-case `words`."""
    for figure in FIGURE.findall(text):
        yield figure if figure.isascii() else "".join(str(unicodedata.digit(one, one)) for one in figure)
    yield from (FIGURE_WORDS[word] for word in words if word in FIGURE_WORDS)
    yield from han_numbers(text)


def han_numbers(text: str) -> list[str]:
    """The numbers that are written in Han characters, in digits; not a lone "one", which is mostly none."""
    return [] if text.isascii() else [value for run in _HAN_NUMBER.findall(text) if (value := _in_digits(run)) != "1"]


def _in_digits(run: str) -> str:
    """Digits side by side are read as such, and each sign of a ten, hundred, thousand or ten thousand multiplies."""
    whole = part = digits = 0
    for sign in run:
        value = int(unicodedata.numeric(sign, 2))  # of two signs for two, one has no number there
        if value < 10:
            digits = digits * 10 + value
        elif value < 10_000:
            part, digits = part + (digits or 1) * value, 0
        else:
            whole, part, digits = (whole + part + digits or 1) * value, 0, 0
    return str(whole + part + digits)
