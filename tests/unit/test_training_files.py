"""Files for fine-tuning: preferences line by line, and a validation file that has to be of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.training_fakes import example, jsonl
from training.config import DatasetSettings
from training.dataset import parse_dataset
from training.errors import InvalidDataset
from training.preference_rows import parse_preferences
from training.training_file import check_training_file
from training.validation import check_disjoint

ONE = DatasetSettings(min_examples=1)


def preference(number: int = 0, **changes: Any) -> dict[str, Any]:
    row = {
        "input": {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"Q{number}?"}]},
        "preferred_output": [{"role": "assistant", "content": "Yes."}],
        "non_preferred_output": [{"role": "assistant", "content": "Well, you see, yes."}],
    }
    return {name: value for name, value in {**row, **changes}.items() if value is not None}


def lines(*rows: Any) -> bytes:
    return "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows).encode()


def test_preferences_are_read_with_their_prompt_and_both_answers() -> None:
    (first, second) = parse_preferences(lines(preference(1), "", preference(2)), ONE)
    assert [message.content for message in first.prompt] == ["Be brief.", "Q1?"]
    assert (second.preferred, second.rejected) == ("Yes.", "Well, you see, yes.")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("{broken", "line 2: not JSON"),
        ([1], "line 2: not an object"),
        (preference(input=None), 'line 2: no "messages" list in its "input"'),
        (preference(non_preferred_output=None), 'line 2: "non_preferred_output" is not a list of one message'),
        (preference(preferred_output=[]), 'line 2: "preferred_output" is not a list of one message'),
        (preference(preferred_output=preference()["non_preferred_output"]), "line 2: both outputs are the same"),
        (
            preference(preferred_output=[{"role": "user", "content": "x"}]),
            "With preferred_output: .*line 2: no assistant",
        ),
        (
            preference(non_preferred_output=[{"role": "assistant", "content": " "}]),
            "With non_preferred_output: .*line 2: message 3",
        ),
    ],
)
def test_a_bad_preference_is_named_by_its_line(row: Any, problem: str) -> None:
    with pytest.raises(InvalidDataset, match=problem):
        parse_preferences(lines(preference(1), row, preference(3)), ONE)


def test_an_upload_is_checked_as_what_its_first_line_is() -> None:
    check_training_file(lines(*(preference(number) for number in range(10))))
    check_training_file(jsonl([example(f"Q{number}?", "A.") for number in range(10)]))
    with pytest.raises(InvalidDataset, match="9 examples; at least 10"):
        check_training_file(lines(*(preference(number) for number in range(9))))
    with pytest.raises(InvalidDataset, match='line 11: no "messages" list'):
        check_training_file(lines(*(preference(number) for number in range(10)), {"messages": []}))
    with pytest.raises(InvalidDataset, match='line 1: no "messages" list'):
        check_training_file(lines({"prompt": "Q"}))


def test_a_validation_file_may_not_ask_what_the_training_file_asks() -> None:
    training = parse_dataset(jsonl([example(f"What is {number}?", "A.") for number in range(10)]))
    apart = parse_dataset(jsonl([example("What is eleven?", "A.")]), ONE)
    check_disjoint(training, apart)
    same = parse_dataset(jsonl([example("what is  3?", "Another answer."), example("And 4?", "B.")]), ONE)
    with pytest.raises(InvalidDataset, match=r"1 of its 2 examples ask .* the first 'what is  3\?'"):
        check_disjoint(training, same)


def test_the_same_last_words_of_another_conversation_are_no_overlap() -> None:
    def conversation(topic: str) -> bytes:
        turns = [("user", f"Tell me of {topic}."), ("assistant", "Gladly."), ("user", "Go on."), ("assistant", topic)]
        return lines({"messages": [{"role": role, "content": content} for role, content in turns]})

    first, second = (parse_dataset(conversation(topic), ONE) for topic in ("bells", "lamps"))
    check_disjoint(first, second)
    with pytest.raises(InvalidDataset):
        check_disjoint(first, first)
