from __future__ import annotations

import pytest

from retrieval.answers.grounding import REFUSAL
from retrieval.answers.guard import MOST_HELD, carried, first_statement, opens_supported
from retrieval.model import Chunk, FileRef, Passage

TEXT = "Customers may return a bike within 30 days of delivery. The repayment takes five working days."
PASSAGE = Passage(Chunk("c", FileRef("w", "s", "f", 1), 0, TEXT, "r.md", "Returns", (), None, 0, len(TEXT)), score=1.0)


@pytest.mark.parametrize(
    ("so_far", "statement"),
    [
        ("You may return a bike", None),
        ("You may return a bike within 30 days.", None),  # it may go on: "30 days.5"
        ("You may return a bike within 30 days [1]. It", "You may return a bike within 30 days."),
        ("Yes. You may", None),
        ("Yes, of course! You may return a bike within 30 days. It", "You may return a bike within 30 days."),
        ("Dear Sir or Madam,\n\nYou may return a bike within 30 days. It", "You may return a bike within 30 days."),
        ("Welcome to the bike shop! You may return a bike within 30 days. It", "You may return a bike within 30 days."),
        (
            "## What our shop promises\n\nYou may return a bike within 30 days. It",
            "You may return a bike within 30 days.",
        ),
        (
            "**What our shop promises**\nYou may return a bike within 30 days. It",
            "You may return a bike within 30 days.",
        ),
        ("**You may return a bike within 30 days.** It", None),
        ("What our shop promises\n---\nYou may return it in 30 days. It", "You may return it in 30 days."),
        (
            "| What a customer wants | What the shop does |\n|---|---|\n| Return a bike | Takes it for 30 days |\n| S",
            "| Return a bike | Takes it for 30 days |",
        ),
        ("- You may return a bike within 30 days\n- It", "- You may return a bike within 30 days"),
        ("word " * (MOST_HELD // 4), "word " * (MOST_HELD // 4)),
    ],
)
def test_the_first_sentence_that_says_something_is_judged_once_it_is_whole(so_far: str, statement: str | None) -> None:
    assert first_statement(so_far, ended=False) == statement


def test_of_an_answer_that_has_ended_what_there_is_is_judged() -> None:
    assert first_statement("You may return it within 30 days", ended=True) == "You may return it within 30 days"
    assert first_statement("Yes.", ended=True) == "Yes."


@pytest.mark.parametrize(
    ("answer", "passes"),
    [
        ("You may return a bike within 30 days of delivery [1].", True),
        ("You may return a bike within 90 days of delivery [1].", False),
        ("According to passage 1, customers may return a bike within 30 days of delivery.", True),
        ("According to passages 1 and 2, customers may return a bike within 30 days of delivery.", True),
        ("According to passage 1, customers may return a bike within 90 days of delivery.", False),
        ("Your share price is 1.25% of the company [2].", False),
        ("Yes.", True),
        (REFUSAL, True),
        ("", True),
    ],
)
def test_an_answer_passes_where_a_passage_supports_its_opening_or_there_is_nothing_to_support(
    answer: str, passes: bool
) -> None:
    assert opens_supported(answer, [PASSAGE]) is passes


def test_without_passages_nothing_is_supported() -> None:
    assert not carried("Customers may return a bike within 30 days.", [])
