from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import training
from retrieval.model import Message
from tests.support.training.fakes import example, jsonl
from training.config import ExampleSettings
from training.data.dataset import canonical, parse_dataset
from training.data.dataset_report import DataSetReport, Spread, examine
from training.model import Example

ANY = ExampleSettings(min_examples=1)
THINGS = ["bell", "lamp", "lock", "pump", "seat", "tyre", "chain", "pedal", "fork", "hub", "rim", "stand"]


def plain(count: int = 12) -> list[Example]:
    return [
        example(f"What does the {thing} cost and where is it?", f"The {thing} costs {n} pounds in the shop.")
        for n, thing in enumerate(THINGS[:count])
    ]


def report(examples: list[Example]) -> DataSetReport:
    return examine(parse_dataset(jsonl(examples), ANY), ANY).report


def test_a_plain_data_set_has_no_findings_and_says_how_far_it_is_from_fifty_and_a_hundred() -> None:
    found = report(plain())
    assert (found.examples, found.distinct_questions, found.distinct_answers) == (12, 12, 12)
    assert (found.to_50, found.to_100) == (38, 88)
    assert found.duplicate_examples == found.contradictory_examples == 0
    assert not found.sensitive
    assert not found.findings
    assert found.languages == {"en": 1.0}
    assert found.lengths is None
    assert found.summary[0] == "12 examples (messages), 12 distinct answers."
    assert "38 more make 50" in found.summary[1]


def test_duplicates_are_grouped_by_line_exact_and_near_apart() -> None:
    first, second = plain(2)
    near = example(f"{first.question} Please?", f"{first.answer[:-1]} now.")
    found = report([first, second, first, near])
    assert found.exact_duplicates == ((1, 3),)
    assert found.near_duplicates == ((1, 4),)
    assert found.duplicate_examples == 2
    assert "2 examples say again" in " ".join(found.summary)


def test_contradictions_are_named_by_their_lines() -> None:
    found = report([*plain(), example(plain()[0].question, "The bell costs 99 pounds in the shop.")])
    assert found.contradictions == ((1, 13),)
    assert found.contradictory_examples == 2


def test_findings_have_line_and_kind_and_the_report_has_no_value_anywhere() -> None:
    secrets = ["jane.doe@example.com", "4111 1111 1111 1111", "sk-abcDEF0123456789abcdef"]
    leaking = [example(f"{one.question} {secret}", one.answer) for one, secret in zip(plain(3), secrets, strict=True)]
    found = report([*leaking, *plain()])
    assert [(one.line, one.kind) for one in found.findings] == [(1, "email"), (2, "payment_card"), (3, "secret")]
    assert found.sensitive == {"email": 1, "payment_card": 1, "secret": 1}
    written = json.dumps(found.figures())
    assert not [secret for secret in secrets if secret in written]


def test_the_rejected_answer_is_looked_through_as_well() -> None:
    (one,) = plain(1)
    pair = Example(one.messages, rejected="Ask jane@example.com.")
    assert examine(parse_dataset(canonical([pair]), ANY), ANY).report.sensitive == {"email": 1}


def test_a_user_turn_that_nobody_answers_is_named() -> None:
    turns = (Message("user", "One?"), Message("user", "Two?"), Message("assistant", "A."))
    assert report([*plain(1), Example(turns)]).unanswered_turns == (2,)


def test_learned_turns_are_counted_and_those_that_are_not() -> None:
    turns = tuple(Message(("user", "assistant")[n % 2], f"Turn {n} of it.") for n in range(8))
    talk = Example((Message("assistant", "Hello."), *turns), unlearned=frozenset({2}))
    found = examine(parse_dataset(canonical([*plain(2), talk]), ANY), ANY).report
    assert (found.learned_turns, found.unlearned_turns, found.unasked_turns) == (5, 1, 1)
    assert found.summary[1] == (
        "5 answers are learned; 1 are not, since they have the weight 0; 1 turns of the assistant are not, since they "
        "follow no turn of a user."
    )
    assert found.figures()["learned_turns"] == 5
    alone = report(plain(12))
    assert (alone.learned_turns, alone.unlearned_turns, alone.unasked_turns) == (12, 0, 0)
    assert "answers are learned" not in " ".join(alone.summary)


def test_an_earlier_answer_that_contradicts_another_examples_is_named() -> None:
    asked = Message("user", plain()[0].question)
    first = (asked, Message("assistant", "The bell costs 99 pounds in the shop."))
    talk = Example((*first, Message("user", "Really?"), Message("assistant", "Really.")))
    assert report([*plain(), talk]).contradictions == ((1, 13),)
    unlearned = replace(talk, unlearned=frozenset({1}))
    assert examine(parse_dataset(canonical([*plain(), unlearned]), ANY), ANY).report.contradictions == ()


def test_personas_that_answer_one_question_are_neither_duplicates_nor_contradictions() -> None:
    one, other = plain(2)
    personas = [
        Example((Message("system", f"You are a {who}."), one.messages[0], Message("assistant", answer)))
        for who, answer in [("pirate", one.answer), ("lawyer", one.answer), ("poet", "It costs 99 roses, my love.")]
    ]
    found = report([*personas, other])
    assert (found.duplicate_examples, found.contradictory_examples) == (0, 0)
    assert report([*personas, personas[0]]).exact_duplicates == ((1, 4),)


def test_lengths_are_counted_where_there_is_a_tokenizer_and_what_is_too_long_is_named() -> None:
    data = parse_dataset(jsonl([*plain(3), example("Why?", "word " * 50)]), ANY)
    found = examine(data, ANY, lambda ones: [len(one.asked.split()) + len(one.answer.split()) for one in ones], 40)
    assert found.report.lengths is not None
    assert found.report.lengths.left_out == (4,)
    assert found.report.lengths.tokens.max == 51
    assert "1 exceed max_length (40) even without passages and are left out" in " ".join(found.report.summary)


def test_a_long_conversation_is_not_left_out_where_its_first_answer_fits() -> None:
    (first,) = plain(1)
    talk = Example((*first.messages, Message("user", "More?"), Message("assistant", "word " * 50)))
    data = parse_dataset(jsonl([talk]), ANY)
    found = examine(data, ANY, lambda ones: [len(one.asked.split()) + len(one.answer.split()) for one in ones], 40)
    assert found.report.lengths is not None
    assert (found.report.lengths.tokens.max, found.report.lengths.left_out) == (68, ())


@pytest.mark.parametrize(
    ("counts", "spread"), [([], (0, 0, 0)), ([7], (7, 7, 7)), (list(range(1, 101)), (50, 95, 100)), ([1, 2], (1, 2, 2))]
)
def test_percentiles_are_by_nearest_rank(counts: list[int], spread: tuple[int, int, int]) -> None:
    assert Spread.of(counts) == Spread(*spread)


def test_the_samples_examples_contradict_each_other_nowhere_and_hold_the_desks_phone_number() -> None:
    data = Path(training.__path__[0]).parent / "samples/brindle/train.jsonl"
    found = examine(parse_dataset(data.read_bytes()), ExampleSettings()).report
    assert found.contradictory_examples == 0, found.contradictions
    assert found.sensitive == {"phone": 1}, found.findings
    assert found.languages["en"] > 0.98
    assert found.to_100 == 0
