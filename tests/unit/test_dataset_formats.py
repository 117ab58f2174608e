from __future__ import annotations

import json
from typing import Any

import pytest

from training.config import DatasetSettings
from training.dataset import canonical, parse_dataset
from training.errors import InvalidDataset
from training.fitness import check_examples
from training.model import Dataset

ANY = DatasetSettings(min_examples=1)


def read(*rows: Any) -> Dataset:
    return parse_dataset("\n".join(json.dumps(row) for row in rows).encode(), ANY)


def said(dataset: Dataset) -> list[tuple[str, str]]:
    (one,) = dataset.examples
    return [(message.role, message.content) for message in one.messages]


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def test_alpaca_puts_the_input_below_the_instruction() -> None:
    found = read({"instruction": "Sum up.", "input": "A long text.", "output": "Short.", "system": "Be brief."})
    assert said(found) == [("system", "Be brief."), ("user", "Sum up.\n\nA long text."), ("assistant", "Short.")]
    assert said(read({"instruction": "Sum up.", "input": "", "output": "Short."}))[0] == ("user", "Sum up.")


def test_the_history_of_an_alpaca_row_comes_first() -> None:
    found = read({"instruction": "And then?", "output": "B.", "history": [["First?", "A."]]})
    assert [content for _, content in said(found)] == ["First?", "A.", "And then?", "B."]


def test_sharegpt_speakers_become_roles() -> None:
    turns = [{"from": "system", "value": "S"}, {"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]
    assert said(read({"conversations": turns})) == [("system", "S"), ("user", "Q"), ("assistant", "A")]


def test_the_same_examples_have_the_same_hash_in_every_format() -> None:
    messages = read({"messages": [turn("user", "Q"), turn("assistant", "A")]})
    alpaca = read({"instruction": "Q", "output": "A"})
    sharegpt = read({"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]})
    assert messages.sha256 == alpaca.sha256 == sharegpt.sha256
    assert (messages.format, alpaca.format, sharegpt.format) == ("messages", "alpaca", "sharegpt")


PAIRS = [
    {"prompt": "Q", "chosen": "Good.", "rejected": "Bad."},
    {
        "prompt": [turn("user", "Q")],
        "chosen": [turn("assistant", "Good.")],
        "rejected": [turn("assistant", "Bad.")],
    },
    {
        "chosen": [turn("user", "Q"), turn("assistant", "Good.")],
        "rejected": [turn("user", "Q"), turn("assistant", "Bad.")],
    },
    {
        "input": {"messages": [turn("user", "Q")], "tools": [], "parallel_tool_calls": True},
        "preferred_output": [turn("assistant", "Good.")],
        "non_preferred_output": [turn("assistant", "Bad.")],
    },
]


@pytest.mark.parametrize("row", PAIRS)
def test_preference_pairs_are_read_in_each_spelling(row: dict[str, Any]) -> None:
    found = read(row)
    (one,) = found.examples
    assert (one.question, one.answer, one.rejected) == ("Q", "Good.", "Bad.")
    assert found.has_preferences
    assert found.sha256 == read(PAIRS[0]).sha256
    assert parse_dataset(canonical(found.examples), ANY).examples == found.examples


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"instruction": "Q"}, '"output" has no text'),
        ({"instruction": "Q", "output": " "}, '"output" has no text'),
        ({"instruction": "Q", "output": "A", "input": 3}, '"input" is not a text'),
        ({"instruction": "Q", "output": "A", "history": [["Q"]]}, '"history" is not a list of pairs'),
        ({"instruction": "Q", "output": "A", "messages": []}, "of several formats: messages, alpaca"),
        ({"conversations": "Q"}, '"conversations" is not a list'),
        ({"conversations": [{"from": "human", "value": "Q"}]}, "no assistant turn"),
        ({"conversations": [{"from": "function_call", "value": "Q"}]}, "message 1 is from 'function_call'"),
        ({"conversations": [{"from": ["human"], "value": "Q"}]}, "message 1 is from ['human']"),
        ({"conversations": [{"from": "human", "value": None}]}, "message 1 (human) has no text"),
        ({"prompt": "Q", "chosen": "A"}, 'no "rejected" list'),
        ({"prompt": "Q", "chosen": "A", "rejected": " A "}, "are the same"),
        ({"chosen": "A", "rejected": "B"}, 'no "chosen" list'),
        (
            {"chosen": [turn("user", "P"), turn("assistant", "A")], "rejected": [turn("user", "Q"), turn("user", "B")]},
            "must be one conversation up to their last turn",
        ),
        ({"prompt": [turn("assistant", "Q")], "chosen": "A", "rejected": "B"}, "does not follow a user's"),
        ({"prompt": "Q", "chosen": [turn("user", "A")], "rejected": "B"}, "must be a text or one assistant message"),
        ({"input": "Q", "preferred_output": [], "non_preferred_output": []}, '"input" is not an object'),
        (
            {"input": {"messages": [turn("user", "Q")], "tools": [{}]}, "preferred_output": [turn("assistant", "A")]},
            'it has "tools"',
        ),
        ({"messages": [{"role": ["user"], "content": "Q"}]}, "unknown role ['user']"),
        ({"messages": [turn("user", "Q"), {"role": "assistant", "content": None, "tool_calls": [{}]}]}, "tool_calls"),
    ],
)
def test_a_row_that_cannot_be_read_says_why(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidDataset) as caught:
        read({"messages": [turn("user", "Q"), turn("assistant", "A")]}, row)
    assert caught.value.problems[0].startswith("line 2: ")
    assert reason in caught.value.problems[0]


def test_openai_text_parts_and_developer_messages_are_read() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    found = read({"messages": [turn("developer", "D"), {"role": "user", "content": parts}, turn("assistant", "A")]})
    assert said(found)[:2] == [("system", "D"), ("user", "one\ntwo")]


def test_mixed_formats_are_refused_with_the_lines_of_each() -> None:
    messages, alpaca = {"messages": [turn("user", "Q"), turn("assistant", "A")]}, {"instruction": "Q", "output": "A"}
    with pytest.raises(InvalidDataset, match=r"mixes formats \(messages: 2 lines from line 1 on; alpaca: line 3\)"):
        read(messages, messages, alpaca)


def test_keys_that_mean_nothing_are_counted() -> None:
    row = {"instruction": "Q", "output": "A", "id": 7, "text": "…"}
    assert read(row, {**row, "output": "B"}).unread == {"id": 2, "text": 2}


def test_each_method_wants_its_own_kind_of_examples() -> None:
    pairs = read(*({"prompt": f"Q{n}", "chosen": f"A{n}", "rejected": "Bad."} for n in range(10)))
    plain = read(*({"instruction": f"Q{n}", "output": f"A{n}"} for n in range(10)))
    check_examples(pairs, ANY, "dpo")
    check_examples(plain, ANY, "supervised")
    with pytest.raises(InvalidDataset, match="They are for the method 'dpo'"):
        check_examples(pairs, ANY, "supervised")
    with pytest.raises(InvalidDataset, match="'dpo' needs preference pairs"):
        check_examples(plain, ANY, "dpo")
