from __future__ import annotations

import json

import pytest

from tests.training_fakes import example, jsonl
from training.config import DatasetSettings
from training.dataset import describe, parse_dataset, split
from training.errors import InvalidDataset
from training.model import Example

ANY = DatasetSettings(min_examples=1)
GOOD = '{"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}'


def line(*messages: tuple[str, object]) -> str:
    return json.dumps({"messages": [{"role": role, "content": content} for role, content in messages]})


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("{not json", "not JSON"),
        ("[1, 2]", 'no "messages" list'),
        ('{"messages": []}', 'no "messages" list'),
        ('{"messages": ["hello"]}', "message 1 is not an object"),
        (line(("user", "Q")), "no assistant turn"),
        (line(("assistant", "A"), ("user", "Q")), "the last turn is the user's"),
        (line(("system", "S"), ("assistant", "A")), "does not follow a user's"),
        (line(("robot", "Q"), ("assistant", "A")), "unknown role 'robot'"),
        (line(("user", "Q"), ("assistant", "  ")), "message 2 (assistant) has no text"),
        (line(("user", None), ("assistant", "A")), "message 1 (user) has no text"),
        (GOOD[:-1] + ', "metadata": 3}', '"metadata" is not an object'),
    ],
)
def test_a_bad_line_is_named_with_its_number_and_its_fault(bad: str, reason: str) -> None:
    with pytest.raises(InvalidDataset) as caught:
        parse_dataset(f"{GOOD}\n{bad}\n{GOOD}".encode(), ANY)
    assert "line 2: " in str(caught.value)
    assert reason in caught.value.problems[0]
    assert len(caught.value.problems) == 1


def test_every_bad_line_is_kept_and_twenty_are_shown() -> None:
    with pytest.raises(InvalidDataset) as caught:
        parse_dataset("\n".join(["nonsense"] * 33).encode(), ANY)
    assert len(caught.value.problems) == 33
    assert "line 20:" in str(caught.value)
    assert "line 21:" not in str(caught.value)
    assert "and 13 more" in str(caught.value)


def test_bytes_that_are_not_utf_8_are_named_with_their_line() -> None:
    with pytest.raises(InvalidDataset, match="not UTF-8: line 2 has the byte 0xff"):
        parse_dataset(GOOD.encode() + b"\n\xff\n", ANY)


def test_an_empty_data_set_is_refused_with_the_number_that_is_needed() -> None:
    with pytest.raises(InvalidDataset, match="0 examples; at least 10"):
        parse_dataset(b"\n\n")


def test_the_hash_is_over_the_bytes_and_the_metadata_is_kept() -> None:
    first = parse_dataset(jsonl([example("Q", "A", document="a.md")]), ANY)
    second = parse_dataset(jsonl([example("Q", "B", document="a.md")]), ANY)
    assert first.sha256 != second.sha256
    assert first.examples[0].document == "a.md"


def test_a_document_that_is_null_marks_a_refusal_and_without_the_word_the_wording_does() -> None:
    assert example("Q", "Ask the desk.", document=None).refuses
    assert not example("Q", "The documents do not answer this question.", document="a.md").refuses
    assert example("Q", "The documents do not answer this question.").refuses
    assert not example("Q", "Within 30 days.").refuses


def test_system_messages_are_not_history() -> None:
    data = line(("system", "S"), ("user", "Q1"), ("assistant", "A1"), ("user", "Q2"), ("assistant", "A2"))
    (one,) = parse_dataset(data.encode(), ANY).examples
    assert [message.content for message in one.history] == ["Q1", "A1"]
    assert (one.question, one.answer) == ("Q2", "A2")


def sixty() -> list[Example]:
    answered = [example(f"Question {number}?", f"Answer {number}.", document="a.md") for number in range(40)]
    return answered + [example(f"Riddle {number}?", "Ask.", document=None) for number in range(20)]


def test_the_split_is_the_same_each_time_and_keeps_the_proportion_of_refusals() -> None:
    data = parse_dataset(jsonl(sixty()))
    settings = DatasetSettings(share_held_out=0.2)
    train, held_out = split(data, settings)
    assert (train, held_out) == split(data, settings)
    assert sum(one.refuses for one in held_out) == 4
    assert len(held_out) == 12
    assert describe(data, train, held_out).refusals == 20
    assert split(data, DatasetSettings(share_held_out=0.2, seed=1))[1] != held_out


def test_a_question_that_stands_twice_is_never_on_both_sides() -> None:
    data = parse_dataset(jsonl([*sixty(), *sixty()]))
    train, held_out = split(data, DatasetSettings(share_held_out=0.3))
    assert not {one.question for one in train} & {one.question for one in held_out}
