"""What a word is, and which words of a text carry meaning.

Each caller had its figures fitted or its data cut by a pattern of its own, and no two of them read every text alike:

| pattern | caller | of "Bob's e-bike_X costs 1,234.50 at 14:30" it reads as one word |
|---|---|---|
| WORD | `content_words`: prompts, checks, pairs | Bob's, e-bike, X, 1,234.50, 14:30; only the straight apostrophe |
| CLAIM_WORD | `retrieval.answers.support` | Bob's; e and bike, 1 and 234 and 50, 14 and 30 apart |
| QUESTION_WORD | `retrieval.search.follow_up` | Bob's, e-bike; the parts of a number apart |
| SCORED_WORD | `retrieval.metrics` | 1,234.50, 14:30; Bob and s, e and bike apart |
| TERM | `training.judging.style`, for terms | Bob's, e-bike; no figures at all |
| COUNTED_WORD | `training.judging.style`, for lengths | all of these, and bike_X as well |
| COMPARED_WORD | `training.data.wording` | 1,234.50, 14:30; a character of Chinese, Thai or Korean alone |
| ROUND_WORD | `retrieval.answers.loops` | none of them whole; 64 letters at most, characters as above alone |
| LETTERS | `retrieval.text.languages` | runs of letters alone |
| SIGNS | `training.data.contradictions` | runs of letters, digits and underscores |
"""

from __future__ import annotations

import re

from retrieval.text.scripts import CHARACTER_WORDS, UNSPACED_LETTERS, grams, spaced
from retrieval.text.stems import stem
from retrieval.text.stop_words import STOP_WORDS

LONGEST_WORD = 64
"""ROUND_WORD reads a longer one in parts: it may be a loop itself, and otherwise each further letter would mean reading
it again.
"""
WORD = re.compile(r"[^\W_]+(?:[.,:'-][^\W_]+)*")
CLAIM_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
QUESTION_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
SCORED_WORD = re.compile(r"[^\W_]+(?:[.,:]\d+)*")
TERM = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
TERM_BREAK = re.compile(r"[^\w\s'\u2019-]+|\n+")
"""Two terms with this between them form no pair."""
COUNTED_WORD = re.compile(r"\w+(?:['\u2019.,:-]\w+)*")
COMPARED_WORD = re.compile(rf"\d+(?:[.,:]\d+)+|[{CHARACTER_WORDS}]|(?:(?![{CHARACTER_WORDS}])[^\W_])+")
ROUND_WORD = re.compile(rf"[{UNSPACED_LETTERS}]|[^\W_{UNSPACED_LETTERS}]{{1,{LONGEST_WORD}}}")
LETTERS = re.compile(r"[^\W\d_]+")
SIGNS = re.compile(r"\w+")
RUN = re.compile(r"\S+")
"""The text between spaces: chunks are cut there, and it measures a question's length."""
_LAST_RUN = re.compile(r"\s\S{0,40}$")


def content_words(text: str) -> frozenset[str]:
    """Lower-case stems of the words that carry meaning. Numbers stay unchanged.

    Scripts without spaces between words give grams: so a part of a clause has words in common with the whole clause.
    """
    words = (word.lower() for word in WORD.findall(spaced(text)))
    return frozenset([*(stem(word) for word in words if word not in STOP_WORDS), *grams(text)])


def share_of_words(text: str, other: str) -> float:
    """The share of the text's content words that the other text has, in 0..1; 0 for a text without any."""
    words = content_words(text)
    return len(words & content_words(other)) / len(words) if words else 0.0


def whole(words: str) -> re.Pattern[str]:
    """A pattern for the words as they are, with no letter, digit or underscore before or after them."""
    return re.compile(rf"(?<!\w){re.escape(words)}(?!\w)")


def up_to_a_gap(text: str) -> str:
    """The text up to its last space, if it has one near its end."""
    found = _LAST_RUN.search(text)
    return text[: found.start()] if found else text
