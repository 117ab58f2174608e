"""Whether the passages answer the question at all: a guess from retrieval's scores, before a model is asked.

A small model that is asked about something that no passage answers usually answers all the same. Two scores separate
most of these questions from the others: the cosine between the question and the first passage, and the best BM25 score
divided by the question's content words. The weights come from a logistic regression on the sample's 212 training
examples (32 of them unanswerable, classes balanced), searched with the default settings; benchmarks/answerability.py
fits and tests it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from retrieval.model import Passage
from retrieval.text.words import content_words

DENSE_WEIGHT = 6.85
SPARSE_WEIGHT = 0.92
INTERCEPT = -5.06
MOST_WORDS = 200
"""The embedder reads 256 tokens: beyond this many words the scores do not describe the question as a whole."""


def features(question: str, passages: Sequence[Passage]) -> tuple[float, float]:
    """The cosine of the first passage, and the best BM25 score divided by the question's content words."""
    words = len(content_words(question)) or 1
    sparse = max((passage.sparse_score or 0.0 for passage in passages), default=0.0)
    return (passages[0].dense_score or 0.0) if passages else 0.0, sparse / words


def answerability(question: str, passages: Sequence[Passage]) -> float:
    """How likely the passages (best first) answer the question, in 0..1; 0 without passages.

    1 for a text of more than MOST_WORDS words, which is not judged.
    """
    if not passages:
        return 0.0
    if len(question.split()) > MOST_WORDS:
        return 1.0
    dense, sparse = features(question, passages)
    return 1 / (1 + math.exp(-(DENSE_WEIGHT * dense + SPARSE_WEIGHT * sparse + INTERCEPT)))
