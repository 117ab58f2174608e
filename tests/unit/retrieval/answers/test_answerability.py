from __future__ import annotations

from dataclasses import replace

from retrieval.answers.answerability import answerability
from retrieval.model import Chunk, FileRef, Passage

CHUNK = Chunk("id", FileRef("w", "s", "f", 1), 0, "text", "a.md", "A", (), None, 0, 4)
NEAR = Passage(CHUNK, 1.0, dense_rank=1, dense_score=0.7, sparse_rank=1, sparse_score=9.0)
QUESTION = "How long may customers return bikes?"


def test_without_passages_nothing_is_answerable() -> None:
    assert answerability(QUESTION, []) == 0.0


def test_a_near_passage_makes_a_question_answerable_and_a_far_one_does_not() -> None:
    far = replace(NEAR, dense_score=0.2, sparse_score=1.0)
    assert answerability(QUESTION, [NEAR]) > 0.8
    assert answerability(QUESTION, [far]) < 0.2


def test_a_stage_that_found_nothing_counts_as_zero() -> None:
    assert answerability(QUESTION, [replace(NEAR, sparse_score=None)]) < answerability(QUESTION, [NEAR])


def test_a_text_longer_than_the_embedder_reads_is_not_judged() -> None:
    far = replace(NEAR, dense_score=0.0, sparse_score=None)
    assert answerability("why " * 201, [far]) == 1.0
    assert answerability("why " * 200, [far]) < 0.1
