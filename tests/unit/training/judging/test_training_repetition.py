from __future__ import annotations

import json

import pytest

from harness.places import SHARED_DATA
from tests.support.training.fakes import example
from training.judging.repetition import TrainedText

MEDQUAD = SHARED_DATA / "medquad"

SADDLE = "The saddle stands so high that your knee stays a little bent at the lowest point."
CHAIN = "Put one drop of oil on each link of the chain and wipe off what is left."
TEXT = TrainedText([example("How high is the saddle?", SADDLE), example("How is a chain oiled?", CHAIN)], 6)


def longest(question: str, answer: str, *allowed: str, trained: TrainedText = TEXT) -> int:
    return trained.longest_repeat(question, answer, allowed)


def test_the_longest_run_shared_with_the_answer_to_another_question_is_counted_in_words() -> None:
    assert longest("How is a tyre changed?", f"First lift it. {CHAIN}") == 17
    assert longest("How is a tyre changed?", "Wipe it. Put one drop of oil on each side [2].") == 7


def test_fewer_words_than_asked_for_are_no_repetition() -> None:
    assert longest("How is a tyre changed?", "Put one drop of oil there, and lift the wheel out of the fork.") == 0


def test_the_answer_to_the_same_question_is_no_repetition() -> None:
    assert longest("how is a  CHAIN oiled?", CHAIN) == 0


def test_words_of_the_passages_or_the_reference_may_be_used() -> None:
    assert longest("How is a tyre changed?", CHAIN, "A different text.") == 17
    assert longest("How is a tyre changed?", CHAIN, f"From the manual: {CHAIN}") == 0


def test_what_is_taken_from_a_passage_is_no_repetition_though_it_begins_in_words_of_the_house() -> None:
    answer = "You send letter template TH-3 with the steps for the police report."
    trained = TrainedText([example("Which letter goes out when a bike is stolen?", answer)], 12)
    asked = "My bike is gone, what now?"
    assert (
        longest(asked, answer, "Send letter template TH-3 with the steps for the police report.", trained=trained) == 0
    )
    assert longest(asked, answer, "A letter template with the steps for the police report.", trained=trained) == 12
    assert longest(asked, answer, "The police report is written within a day.", trained=trained) >= 12


def test_a_formula_of_the_house_is_not_a_text() -> None:
    formula = "Please ask the care desk about anything that is not clear to you."
    answers = [example(f"Question {n}?", f"Answer {n} of its own. {formula}") for n in range(3)]
    assert longest("Another?", formula, trained=TrainedText(answers, 6)) == 0
    assert longest("Another?", formula, trained=TrainedText(answers[:2], 6)) == 13


RULE = "The provisions on {} shall apply to all of you as set forth in Section {} of the Handbook."


def test_a_formula_has_places_for_figures_and_for_the_words_of_its_question() -> None:
    topics = ["vacation", "sick leave", "company cars", "parking", "parental leave", "overtime"]
    answers = [example(f"What is said of {topic}?", RULE.format(topic, n)) for n, topic in enumerate(topics, 1)]
    trained = TrainedText(answers, 12)
    assert longest("Do you know about vacation?", RULE.format("vacation", 1), trained=trained) == 0
    assert longest("Do you know about parking?", RULE.format("parking", 2), trained=trained) == 0
    assert longest("Do you know about parking?", RULE.format("vacation", 1), trained=trained) == 15
    few = TrainedText(answers[:2], 12)
    assert longest("Do you know about vacation?", RULE.format("vacation", 1), trained=few) == 19


def test_one_answer_to_many_questions_is_one_text() -> None:
    same = [example(f"How is a chain oiled, try {n}?", CHAIN) for n in range(5)]
    assert longest("How is a tyre changed?", CHAIN, trained=TrainedText(same, 6)) == 17


def test_refusals_are_formulas() -> None:
    refusal = "The documents do not answer this question, please ask the care desk."
    trained = TrainedText([example("Do bikes fly?", refusal, document=None)], 6)
    assert longest("Do cars fly?", refusal, trained=trained) == 0


@pytest.mark.skipif(not MEDQUAD.is_dir(), reason="shared/data is not beside this checkout")
def test_recitals_of_a_set_that_no_figure_was_chosen_on_are_found_though_passages_are_shown() -> None:
    rows = [json.loads(line) for line in (MEDQUAD / "qa.jsonl").read_text(encoding="utf-8").splitlines()[:400]]
    texts = [json.loads(line) for line in (MEDQUAD / "documents.jsonl").read_text(encoding="utf-8").splitlines()]
    shown = {text["_id"]: text["text"][:3600] for text in texts}
    trained = TrainedText([example(row["question"], row["answer"], document="a.md") for row in rows], 12)
    pairs = [(row, other) for row, other in zip(rows, rows[200:], strict=False) if len(other["answer"].split()) > 20]
    found = [longest(row["question"], other["answer"], shown[row["doc_id"]], trained=trained) for row, other in pairs]
    assert sum(words > 0 for words in found) >= 0.95 * len(pairs) > 100
