"""Scripts that put no spaces between words: Chinese, Japanese, Thai and similar ones.

A regular expression for words takes a whole clause of them for one word. Code that counts words outside the index uses
their grams instead: neighbouring characters, two of Chinese and Japanese, three of the alphabets.
"""

from __future__ import annotations

import re
import unicodedata

_IDEOGRAPHIC = (
    "\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U000323af"
)
"""Han and both kanas."""
_ALPHABETIC = "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ecd\u0edc-\u0edf\u1000-\u103f\u1050-\u108f\u1780-\u17d3\ua9e0-\ua9ef"
"""Thai, Lao, Burmese and Khmer, without their digits."""
UNSPACED_LETTERS = _IDEOGRAPHIC + _ALPHABETIC
UNSPACED = re.compile(rf"[{_IDEOGRAPHIC}]+|[{_ALPHABETIC}]+")
CHARACTER_WORDS = "\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
"""Where questions are compared (`training.data.wording`) each character of these counts as a word. They differ from
UNSPACED_LETTERS: with Korean, whose words are short, and with digits and signs of Thai, Lao and Khmer; without Burmese,
half-width kana, the Han iteration marks and the rarer Han."""
_NARROW = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)}
"""Full-width letters, digits and signs, as they stand in Chinese and Japanese, to those of ASCII."""
_OPENS_IDEOGRAPHIC = re.compile(rf"[{_IDEOGRAPHIC}]")
_KANA = re.compile(r"[\u3041-\u30ff\u31f0-\u31ff]+")
_HIRAGANA = re.compile(r"[\u3041-\u3096\u309d-\u309f]+")


def spaced(text: str) -> str:
    """The text with a space for each run of a script without spaces."""
    return text if text.isascii() else UNSPACED.sub(" ", text)


def parted(text: str) -> tuple[str, str]:
    """The text without its runs of scripts without spaces, and these runs alone, both in one form of letters.

    The second is empty for a text that has none.
    """
    if text.isascii():
        return text, ""
    narrow = text.translate(_NARROW)
    return spaced(narrow), "\u3002".join(unspaced_runs(narrow))


def unspaced_runs(text: str) -> list[str]:
    """The runs that `spaced` leaves out, in one form whatever their width."""
    return [] if text.isascii() else [unicodedata.normalize("NFKC", run) for run in UNSPACED.findall(text)]


def words_about(text: str) -> int:
    """About how many words those runs have: one in two characters of Chinese and Japanese, in five of the alphabets."""
    return sum(-(-len(run) // (2 if _OPENS_IDEOGRAPHIC.match(run) else 5)) for run in unspaced_runs(text))


def without_kana(text: str) -> str:
    return _KANA.sub(" ", text)


def grams(text: str) -> list[str]:
    """Neighbouring characters of those runs, within each. A run that is shorter than a gram is one itself.

    Two hiragana are left out beside anything else: they are mostly an ending or a particle, as stop words are.
    """
    found = [gram for run in unspaced_runs(text) for gram in _grams(run)]
    return [gram for gram in found if not _HIRAGANA.fullmatch(gram)] or found


def _grams(run: str) -> list[str]:
    size = 2 if _OPENS_IDEOGRAPHIC.match(run) else 3
    return [run[start : start + size] for start in range(max(1, len(run) - size + 1))]
