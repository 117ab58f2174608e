"""Which language a text is in, by its function words or its script.

It tells ten languages written in Latin letters by their most frequent words, and others by their script alone, so
Russian and Ukrainian are both `cyrillic`. A text with fewer than two function words is `unknown`, near relatives
(Danish and Norwegian) are taken for one another, and of a text in two languages the more frequent one is named.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import lru_cache

from retrieval.text.stop_words import FREQUENT_WORDS
from retrieval.text.words import LETTERS

LIMITS = (
    "Told by function words (de, en, es, fr, it, nl, pl, pt, sv, tr) or by script; texts of a few words are unknown, "
    "near relatives are confused, and of a mixed text only the main language is named."
)
UNKNOWN = "unknown"
READ = 80
"""Words of a text that are looked at."""
_SCRIPTS = {
    "HIRAGANA": "ja", "KATAKANA": "ja", "HANGUL": "ko", "CJK": "zh", "CYRILLIC": "cyrillic", "GREEK": "el",
    "ARABIC": "arabic", "HEBREW": "he", "THAI": "th", "DEVANAGARI": "devanagari", "BENGALI": "bn", "TAMIL": "ta",
}  # fmt: skip
_SPEAKERS: dict[str, list[str]] = {}
for _name, _list in FREQUENT_WORDS.items():
    for _word in _list.split():
        _SPEAKERS.setdefault(_word, []).append(_name)


def language(text: str) -> str:
    """An ISO 639-1 code, the name of a script, or `unknown`."""
    if not text.isascii() and (script := _script(text)):
        return script
    votes: Counter[str] = Counter()
    for word in LETTERS.findall(text.lower())[:READ]:
        votes.update(_SPEAKERS.get(word, ()))
    ranked = votes.most_common(2)
    if not ranked or ranked[0][1] < 2 or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        return UNKNOWN
    return ranked[0][0]


def _script(text: str) -> str | None:
    """The language or script of a text that is not mainly in Latin letters. Kana tells Japanese from Chinese."""
    letters = [letter for letter in text[:400] if letter.isalpha()]
    found = Counter(_script_of(letter) for letter in letters)
    if not letters or found[None] > len(letters) / 2:
        return None
    return "ja" if found["ja"] else found.most_common(1)[0][0] or next((one for one in found if one), None)


@lru_cache(maxsize=4096)
def _script_of(letter: str) -> str | None:
    return _SCRIPTS.get(unicodedata.name(letter, "").split(" ")[0])
