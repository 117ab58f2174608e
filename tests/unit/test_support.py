from __future__ import annotations

import pytest

from retrieval.opposites import opposites
from retrieval.support import SUPPORT_THRESHOLD, Objection, objection, support
from retrieval.words import stem

REFUNDS = """Refund policy
Returning a bike
Customers may return a bike within 30 days of delivery. The fee is £1,500 for one bike. Collection is free on Mondays.
Opened packaging is accepted. A longer ride increases the wear of the chain.
Kelmouth and Lindwick have a repair shop."""


def supported(sentence: str, passage: str = REFUNDS) -> bool:
    return support(sentence, passage) >= SUPPORT_THRESHOLD


@pytest.mark.parametrize(
    "sentence",
    [
        "You may return a bike within 30 days of delivery [1].",
        "- Customers return bikes within thirty days of their delivery.",
        "2. The fee for 1 bike is £1500.",
        "Collection on Monday is free.",
        "Packaging that was opened is accepted.",
        "A repair shop is in Lindwick.",
    ],
)
def test_a_sentence_made_of_the_passage_is_supported(sentence: str) -> None:
    assert objection(sentence, REFUNDS) is None
    assert supported(sentence)


@pytest.mark.parametrize(
    ("sentence", "because"),
    [
        ("You may return a bike within 60 days of delivery.", "figure"),
        ("You may return a bike within sixty days of delivery.", "figure"),
        ("The fee is £1.50 for one bike.", "figure"),
        ("Collection is free on Tuesdays.", "date"),
        ("Opened packaging is not accepted.", "denial"),
        ("The shops can't return a bike.", "denial"),
        ("A longer ride reduces the wear of the chain.", "opposite"),
        ("Opened packaging is refused.", "opposite"),
        ("Unopened packaging is accepted.", "opposite"),
    ],
)
def test_one_wrong_thing_takes_all_support_away(sentence: str, because: Objection) -> None:
    assert objection(sentence, REFUNDS) == because
    assert support(sentence, REFUNDS) == 0.0


def test_words_close_together_count_more_than_words_far_apart() -> None:
    far = "\n".join(["A bike.", "Rain.", "Snow.", "Wind.", "A return.", "Hail.", "Fog.", "Sun.", "The delivery."])
    near = "\n".join(["Rain.", "Snow.", "Wind.", "A bike, a return, the delivery.", "Hail.", "Fog.", "Sun."])
    sentence = "The return of a bike after its delivery."
    assert support(sentence, near) > support(sentence, far) > 0.0


def test_a_name_that_the_passage_lacks_lowers_the_score_but_is_no_objection() -> None:
    theirs = "The repair shop is in Kelmouth."
    foreign = "The repair shop is in Harwell."
    assert support(foreign, REFUNDS) < support(theirs, REFUNDS)
    assert objection(foreign, REFUNDS) is None


def test_a_passage_that_denies_may_carry_a_denial() -> None:
    passage = "The starting fee is never refunded."
    assert supported("The starting fee is not refunded.", passage)
    assert objection("The starting fee is refunded.", passage) is None  # what the check cannot see


@pytest.mark.parametrize("sentence", ["", "Yes.", "It is so.", "[1]", "Purple giraffes juggle."])
def test_a_sentence_that_shares_no_word_has_no_support(sentence: str) -> None:
    assert support(sentence, REFUNDS) == 0.0


def test_an_empty_passage_supports_nothing() -> None:
    assert support("You may return a bike.", "") == 0.0


def test_opposites_stand_in_the_table_or_behind_a_prefix() -> None:
    assert stem("decreases") in opposites(stem("increased"))
    assert "ineffectiv" in opposites("effectiv")
    assert "effectiv" in opposites("ineffectiv")
    assert "put" not in opposites("input")
