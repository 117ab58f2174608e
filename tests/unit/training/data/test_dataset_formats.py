from __future__ import annotations

import json
from typing import Any

import pytest

from training.config import ExampleSettings
from training.data.dataset import Dataset, canonical, parse_dataset
from training.data.fitness import check_examples
from training.errors import InvalidDataset

ANY = ExampleSettings(min_examples=1)


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


def weighted(*weights: Any) -> list[dict[str, Any]]:
    """A conversation of so many questions; None is an answer without a weight."""
    turns: list[dict[str, Any]] = []
    for number, weight in enumerate(weights):
        answer = {**turn("assistant", f"A{number}"), **({} if weight is None else {"weight": weight})}
        turns += [turn("user", f"Q{number}"), answer]
    return turns


def sharegpt(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = {"user": "human", "assistant": "gpt"}
    return [{"from": names[one["role"]], "value": one["content"], "weight": one.get("weight")} for one in turns]


@pytest.mark.parametrize(
    ("weights", "learned"),
    [
        ((None, None, None, None), ["A0", "A1", "A2", "A3"]),
        ((1, 0, None, 1.0), ["A0", "A2", "A3"]),
        ((0, 0, 0, 1), ["A3"]),
        ((None, 1, 0, 0), ["A0", "A1"]),
    ],
)
def test_every_answer_without_the_weight_0_is_learned_with_what_comes_before_as_its_history(
    weights: tuple[Any, ...], learned: list[str]
) -> None:
    turns = weighted(*weights)
    for row in (
        {"messages": turns},
        {"conversations": sharegpt(turns)},
        {"conversations": sharegpt(turns), "system": "S"},
    ):
        (one,) = read(row).examples
        assert [each.answer for each in one.turns] == learned
        assert [len(each.history) for each in one.turns] == [2 * int(answer[1]) for answer in learned]
        assert one.answer == learned[-1]
        assert [each.turns for each in one.turns] == [(each,) for each in one.turns]


def test_each_answer_in_the_history_of_an_alpaca_row_is_learned() -> None:
    (one,) = read({"instruction": "And then?", "output": "B.", "history": [["First?", "A."]]}).examples
    assert [(each.question, each.answer) for each in one.turns] == [("First?", "A."), ("And then?", "B.")]


def test_what_metadata_names_is_known_of_the_last_answer_alone() -> None:
    metadata = {"document": "a.md", "facts": ["30"], "answer_id": "x"}
    (one,) = read({"messages": weighted(None, None, 0), "metadata": metadata}).examples
    first, last = one.turns
    assert (first.metadata, last.metadata) == ({"answer_id": "x"}, metadata)
    (refusing,) = read({"messages": weighted(None, None), "metadata": {"document": None}}).examples
    assert [each.refuses for each in refusing.turns] == [False, True]


def test_a_turn_that_follows_no_users_is_not_learned_and_counted() -> None:
    greeted = [turn("assistant", "Hello."), *weighted(None), turn("assistant", "More."), *weighted(0, None)]
    (one,) = read({"messages": greeted}).examples
    assert ([each.answer for each in one.turns], one.unasked, len(one.unlearned)) == (["A0", "A1"], 2, 1)


def test_weights_are_part_of_the_canonical_form_and_content_without_them_has_no_trace_of_them() -> None:
    plain, ones, some = (read({"messages": weighted(*weights)}) for weights in ((None, None), (1, 1), (0, None)))
    assert canonical(plain.examples) == canonical(ones.examples)
    assert plain.sha256 == "f0f1158874c0cad04fc07b98be007e61d87e96f180db5ca77644f1714b0dee50"
    assert some.sha256 != plain.sha256
    assert parse_dataset(canonical(some.examples), ANY).examples == some.examples
    assert canonical(read({"conversations": sharegpt(weighted(0, None))}).examples) == canonical(some.examples)


@pytest.mark.parametrize("weight", [True, False, 0.5, 2, -1, "heavy", "1", [1], {}])
@pytest.mark.parametrize(
    "row",
    [
        lambda one: {"messages": [turn("user", "Q"), one, *weighted(None)]},
        lambda one: {"messages": [{**turn("user", "Q"), "weight": one["weight"]}, *weighted(None)[1:]]},
        lambda one: {"conversations": sharegpt([turn("user", "Q"), one, *weighted(None)])},
        lambda one: {"prompt": [turn("user", "Q"), one, turn("user", "Q")], "chosen": "A", "rejected": "B"},
        lambda one: {"prompt": "Q", "chosen": [one], "rejected": "B"},
        lambda one: {"prompt": "Q", "chosen": "B", "rejected": [one]},
        lambda one: {"chosen": [turn("user", "Q"), one], "rejected": [turn("user", "Q"), turn("assistant", "B")]},
        lambda one: {"input": {"messages": [turn("user", "Q"), one, turn("user", "Q")]}, "preferred_output": "A",
                     "non_preferred_output": "B"},
        lambda one: {"input": {"messages": [turn("user", "Q")]}, "preferred_output": [one],
                     "non_preferred_output": [turn("assistant", "B")]},
    ],
)  # fmt: skip
def test_a_weight_that_is_neither_0_nor_1_is_refused_wherever_it_stands(row: Any, weight: Any) -> None:
    with pytest.raises(InvalidDataset, match=r"line 1: message \d has a weight other than 0 and 1"):
        read(row({**turn("assistant", "A"), "weight": weight}))


def test_a_conversation_or_a_pair_of_which_nothing_counts_is_refused() -> None:
    with pytest.raises(InvalidDataset, match="so nothing of this conversation would be learned"):
        read({"messages": weighted(0, 0)})
    with pytest.raises(InvalidDataset, match='"chosen" has the weight 0'):
        read({"prompt": "Q", "chosen": [{**turn("assistant", "A"), "weight": 0}], "rejected": "B"})


def test_of_a_preference_nothing_but_the_last_turn_is_learned() -> None:
    (one,) = read({"prompt": [*weighted(None), turn("user", "Q")], "chosen": "A", "rejected": "B"}).examples
    assert one.turns == (one,)
    assert (one.answer, one.unasked) == ("A", 0)


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
