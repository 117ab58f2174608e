from __future__ import annotations

import pytest

from retrieval.follow_up import standalone_query

WARRANTY = "How long is the warranty on the Brindle City?"


@pytest.mark.parametrize(
    "question",
    [
        "And for the Hill?",
        "Does it cover the battery?",
        "What about refurbished ones?",
        "Why?",
        "Is that free?",
        "How long?",
    ],
)
def test_a_question_that_leans_on_the_last_one_is_searched_with_it(question: str) -> None:
    assert standalone_query(question, [WARRANTY]) == f"{WARRANTY} {question}"


@pytest.mark.parametrize(
    "question",
    [
        "What is the refund policy?",
        "How many days of leave do staff members get per year?",
        "Which tyre pressure does the Brindle Hill need?",
        "How is a battery shipped when it is damaged by water or fire?",
    ],
)
def test_a_question_with_words_of_its_own_is_searched_as_it_is(question: str) -> None:
    assert standalone_query(question, [WARRANTY]) == question


def test_a_first_question_is_searched_as_it_is() -> None:
    assert standalone_query("  And for the Hill? ", []) == "And for the Hill?"


def test_a_chain_of_follow_ups_reaches_back_to_its_subject() -> None:
    history = ["Something else entirely about parking bikes", WARRANTY, "And for the Hill?"]
    assert (
        standalone_query("Does it cover the battery?", history)
        == f"{WARRANTY} And for the Hill? Does it cover the battery?"
    )


def test_only_the_nearest_turns_are_used() -> None:
    history = [WARRANTY, "And it?", "And that?", "And this?"]
    assert standalone_query("And those?", history) == "And it? And that? And this? And those?"


def test_a_long_turn_before_is_cut() -> None:
    query = standalone_query("And then?", ["word " * 500])
    assert len(query.split()) == 64 + 2
