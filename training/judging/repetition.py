"""Whether an answer repeats training text word by word."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from retrieval.metrics import words as words_of
from retrieval.text.markers import strip_markers
from retrieval.text.words import content_words
from training.model import Example

FORMULA = 3
"""A run of words in at least this many different training answers is a usual formula of the house, not a text."""
BLOCK = 5
"""This many consecutive words that are also in a shown text count as taken from it."""
TAKEN = 0.5
"""If more than this share of a run is taken from the shown texts, the run counts as theirs, even with a word or two
between.
"""
BLANK = "_"
Run = tuple[str, ...]


class TrainedText:
    """The training answers by their runs of `words` consecutive words.

    Words that an answer takes from the passages that it was shown, or shares with the reference, do not count: there it
    is right to use them. "You send the letter" is taken if a passage says "Send the letter". The answer that was
    trained for the very same question does not count either, nor does a formula: "the rules on parking apply as set
    forth in Section 4" is one if three training answers have it with other figures, and with other words of their own
    questions, in the same places.
    """

    def __init__(self, examples: Sequence[Example], words: int) -> None:
        self._words = words
        self._questions: dict[Run, set[str]] = defaultdict(set)
        answers: dict[str, set[str]] = defaultdict(set)
        for example in examples:
            if not example.refuses:
                answers[example.answer].add(example.question)
        spread: dict[Run, int] = defaultdict(int)
        for answer, questions in answers.items():
            formulas = {form for question in questions for form in _forms(answer, question, words)}
            for form in formulas:
                spread[form] += 1
            for run in _runs(answer, words):
                self._questions[run] |= {_key(question) for question in questions}
        self._formulas = {form for form, count in spread.items() if count >= FORMULA}

    def longest_repeat(self, question: str, answer: str, allowed: Iterable[str]) -> int:
        """Words in the longest run that the answer shares with the answer to another question; 0 if there are fewer
        than `words`.
        """
        taken = _taken(answer, allowed)
        longest = length = 0
        forms = _forms(answer, question, self._words)
        for at, (run, form) in enumerate(zip(_runs(answer, self._words), forms, strict=True)):
            is_theirs = sum(taken[at : at + self._words]) > TAKEN * self._words
            repeats = self._repeats(run, _key(question)) and form not in self._formulas and not is_theirs
            length = length + 1 if repeats else 0
            longest = max(longest, length)
        return longest + self._words - 1 if longest else 0

    def _repeats(self, run: Run, question: str) -> bool:
        asked = self._questions.get(run)
        return asked is not None and question not in asked


def _runs(text: str, words: int) -> list[Run]:
    found = words_of(strip_markers(text))
    return [tuple(found[at : at + words]) for at in range(len(found) - words + 1)]


def _taken(answer: str, shown: Iterable[str]) -> list[bool]:
    """For each word of the answer, whether it is in a block that a shown text has as well."""
    known = {block for text in shown for block in _runs(text, BLOCK)}
    taken = [False] * len(words_of(strip_markers(answer)))
    for at, block in enumerate(_runs(answer, BLOCK)):
        if block in known:
            taken[at : at + BLOCK] = [True] * BLOCK
    return taken


def _forms(answer: str, question: str, words: int) -> list[Run]:
    """The form of each run: as many words from its beginning on, with a blank for each word of the question and each
    figure. Near the end of the answer, the form is its last words.
    """
    asked = content_words(question)
    found = words_of(strip_markers(answer))
    form: list[str] = []
    places: list[int] = []
    for word in found:
        varies = any(letter.isdigit() for letter in word) or bool(content_words(word) & asked)
        if not (varies and form and form[-1] == BLANK):
            form.append(BLANK if varies else word)
        places.append(len(form) - 1)
    last = max(0, len(form) - words)
    starts = [min(places[at], last) for at in range(len(found) - words + 1)]
    return [tuple(form[start : start + words]) for start in starts]


def _key(question: str) -> str:
    return " ".join(question.lower().split())
