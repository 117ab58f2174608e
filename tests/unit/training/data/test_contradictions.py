from __future__ import annotations

import pytest

from retrieval.model import Message
from tests.support.training.fakes import example
from training.data.contradictions import agree, contradictions, equal_questions
from training.data.fitness import check_contradictions
from training.data.near_duplicates import same_questions
from training.errors import InvalidDataset
from training.model import Example

QUESTION = "How long may I return a bike?"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("You may return it within 30 days.", "You may return it within 14 days."),
        ("Yes, you may return it.", "No, you may return it."),
        ("The fee is waived for members.", "The fee is not waived for members."),
        ("Keep the receipt and come to the desk.", "Bikes are painted blue in spring."),
        ("The bike is returned within 30 days.", "The documents do not answer this question."),
    ],
)
def test_answers_at_odds_do_not_agree(one: str, other: str) -> None:
    assert not agree(example("Q", one), example("Q", other))
    assert not agree(example("Q", other), example("Q", one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("You may return it within 30 days.", "You may return it within 30 days, unused."),
        ("A bike is returned within 30 days of delivery.", "Within 30 days of delivery a bike is returned [1]."),
        ("You may return it within 30 days.", "Within 30 days you may return it; the fee is 5 pounds."),
        ("The documents do not answer this question.", "The passages do not mention that. Ask the desk."),
    ],
)
def test_the_same_in_other_words_or_with_more_of_it_agrees(one: str, other: str) -> None:
    assert agree(example("Q", one), example("Q", other))


def test_contradictory_examples_are_counted_and_a_pair_is_named_for_each_view() -> None:
    answers = ["Within 30 days.", "Within 30 days, please.", "Within 14 days.", "Never."]
    asked = [example(QUESTION, one) for one in answers] + [example("Where is the shop?", "In Kelmouth.")]
    found = contradictions(asked, same_questions(asked, 0.5))
    assert found.places == (0, 1, 2, 3)
    assert found.pairs == ((0, 2), (0, 3))


def test_equal_questions_are_found_without_near_copies() -> None:
    asked = [example(QUESTION, "A"), example(f"  {QUESTION.upper()[:-1]} ?!", "B"), example(f"Please, {QUESTION}", "C")]
    assert equal_questions(asked) == [[0, 1]]


def test_another_system_message_or_history_is_no_contradiction() -> None:
    bare = example(QUESTION, "Within 30 days.")
    framed = Example((Message("system", "It is 2024."), Message("user", QUESTION), Message("assistant", "14 days.")))
    after = Example((Message("user", "I bought it used."), Message("assistant", "I see."), *framed.messages[1:]))
    asked = [bare, framed, after]
    assert equal_questions(asked) == []
    assert same_questions(asked, 0.5) == []


def test_beyond_the_share_the_pairs_are_named_by_line_and_below_it_they_pass() -> None:
    asked = [Example(example(QUESTION, f"Within {n} days.").messages, line=n) for n in range(10, 20)]
    found = contradictions(asked, same_questions(asked, 0.5))
    with pytest.raises(InvalidDataset, match=r"10 of 10 examples .* at most 10% may .*lines 10 and 11; "):
        check_contradictions(asked, found.places, found.pairs, 0.1)
    check_contradictions(asked, found.places, found.pairs, 1.0)
    check_contradictions(asked, (), (), 0.0)
