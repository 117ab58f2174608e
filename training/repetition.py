"""Does an answer repeat training text word by word?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from retrieval.metrics import words as words_of
from retrieval.words import strip_markers
from training.model import Example

FORMULA = 3
"""A run of words that stands in this many different training answers is the house's formula, not a text."""
Run = tuple[str, ...]


class TrainedText:
    """The training answers by their runs of `words` consecutive words.

    What an answer shares with the passages that it was shown, or with the reference, is not held against it: there it
    is right to use these words. Nor is a formula, nor the answer that was trained for the very same question.
    """

    def __init__(self, examples: Sequence[Example], words: int) -> None:
        self._words = words
        self._questions: dict[Run, set[str]] = defaultdict(set)
        answers: dict[str, set[str]] = defaultdict(set)
        for example in examples:
            if not example.refuses:
                answers[example.answer].add(_key(example.question))
        spread: dict[Run, int] = defaultdict(int)
        for answer, questions in answers.items():
            for run in set(_runs(answer, words)):
                spread[run] += 1
                self._questions[run] |= questions
        self._formulas = {run for run, count in spread.items() if count >= FORMULA}

    def longest_repeat(self, question: str, answer: str, allowed: Iterable[str]) -> int:
        """Words of the longest run that the answer shares with the answer to another question; 0 below `words`."""
        known = {run for text in allowed for run in _runs(text, self._words)}
        longest = length = 0
        for run in _runs(answer, self._words):
            length = length + 1 if self._repeats(run, _key(question)) and run not in known else 0
            longest = max(longest, length)
        return longest + self._words - 1 if longest else 0

    def _repeats(self, run: Run, question: str) -> bool:
        asked = self._questions.get(run)
        return asked is not None and run not in self._formulas and question not in asked


def _runs(text: str, words: int) -> list[Run]:
    found = words_of(strip_markers(text))
    return [tuple(found[at : at + words]) for at in range(len(found) - words + 1)]


def _key(question: str) -> str:
    return " ".join(question.lower().split())
