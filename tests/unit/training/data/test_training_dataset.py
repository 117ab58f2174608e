from __future__ import annotations

import json

import pytest

from tests.support.training.fakes import example, jsonl
from training.config import ExampleSettings
from training.data.dataset import canonical, parse_dataset
from training.errors import InvalidDataset

ANY = ExampleSettings(min_examples=1)
GOOD = '{"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}'


def line(*messages: tuple[str, object]) -> str:
    return json.dumps({"messages": [{"role": role, "content": content} for role, content in messages]})


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("{not json", "not JSON"),
        ("[1, 2]", "not a JSON object"),
        ('{"text": "A"}', 'no "messages" list, nor the keys of another format'),
        ('{"messages": []}', 'no "messages" list'),
        ('{"messages": ["hello"]}', "message 1 is not an object"),
        (line(("user", "Q")), "no assistant turn"),
        (line(("assistant", "A"), ("user", "Q")), "the last turn is the user's"),
        (line(("system", "S"), ("assistant", "A")), "does not follow a user's"),
        (line(("robot", "Q"), ("assistant", "A")), "unknown role 'robot'"),
        (line(("user", "Q"), ("assistant", "  ")), "message 2 (assistant) has no text"),
        (line(("user", None), ("assistant", "A")), "message 1 (user) has no text"),
        (GOOD[:-1] + ', "metadata": 3}', '"metadata" is not an object'),
        (GOOD[:-1] + ', "metadata": []}', '"metadata" is not an object'),
        (GOOD[:-1] + ', "metadata": {"a": NaN}}', "NaN is no JSON value"),
        (GOOD[:-1] + ', "metadata": {"a": 1e999}}', "the number 1e999 is too large"),
        (GOOD[:-1] + ', "messages": []}', 'the key "messages" stands twice'),
        (GOOD + GOOD, "not JSON (Extra data"),
        (GOOD[:-1], "not JSON"),
        (line(("user", "Q\x00"), ("assistant", "A")), "a text has a NUL character"),
        (line(("user", "Q\ud83d"), ("assistant", "A")), "half of a surrogate pair"),
        ('{"messages": ' + "[" * 3000 + "]" * 3000 + "}", "deep"),
        (line(("user", "Q"), ("assistant", [{"type": "image_url"}])), "a part of the type 'image_url'"),
        (GOOD[:-1] + ', "tools": [{"type": "function"}]}', 'it has "tools"; tool calls are not trained here'),
        (
            '{"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A", "weight": "no"}]}',
            "message 2 has a weight other than 0 and 1",
        ),
        (
            '{"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A", "weight": 0}]}',
            "the last turn has the weight 0",
        ),
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


def test_the_hash_is_over_the_content_whatever_it_is_written_like() -> None:
    rows = [{"messages": [{"role": "user", "content": "Ünder 5 €?"}, {"role": "assistant", "content": "A"}]}]
    spaced = "\ufeff\r\n" + json.dumps(rows[0], indent=None, ensure_ascii=True).replace('"A"', '" A "') + "\r\n\r\n"
    same = parse_dataset(spaced.encode(), ANY)
    as_list = parse_dataset(json.dumps(rows, indent=2, ensure_ascii=False).encode(), ANY)
    other = parse_dataset(json.dumps(rows).replace('"A"', '"B"').encode(), ANY)
    assert same.sha256 == as_list.sha256 != other.sha256


def test_metadata_is_kept_and_the_canonical_form_is_read_back_as_it_was() -> None:
    first = parse_dataset(jsonl([example("Q\u2028q", "Ä", document="a.md"), example("P", "B")]), ANY)
    assert first.examples[0].document == "a.md"
    again = parse_dataset(canonical(first.examples), ANY)
    assert (again.examples, again.sha256) == (first.examples, first.sha256)


def test_a_line_separator_inside_a_text_does_not_cut_the_line() -> None:
    data = GOOD.replace("Q", "one\u2028two\u0085three").encode()
    (one,) = parse_dataset(data, ANY).examples
    assert one.question == "one\u2028two\u0085three"


def test_lines_are_counted_as_an_editor_counts_them() -> None:
    found = parse_dataset(f"\n{GOOD}\r\n\n{GOOD}".encode(), ANY).examples
    assert [one.line for one in found] == [2, 4]


def test_the_rows_of_a_json_list_are_named_by_the_line_they_begin_on() -> None:
    data = f"[\n  {GOOD},\n\n  {json.dumps(json.loads(GOOD), indent=2)}\n]\n"
    assert [one.line for one in parse_dataset(data.encode(), ANY).examples] == [2, 4]
    with pytest.raises(InvalidDataset, match="line 3: no assistant turn"):
        parse_dataset(f"[\n{GOOD},\n{line(('user', 'Q'))}]".encode(), ANY)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (f"[{GOOD},\n{GOOD[:-1]}", "what begins on line 2 is not JSON"),
        (f"[{GOOD}\n{GOOD}]", "broken on line 2: a comma"),
        (f"[{GOOD}]\n{GOOD}", "line 2 goes on after its end"),
        ("[", "not JSON"),
        (f"[{GOOD},\n" + '{"a": 1, "a": 2}]', 'from line 2: the key "a" stands twice'),
    ],
)
def test_a_broken_list_is_refused_whole(broken: str, reason: str) -> None:
    with pytest.raises(InvalidDataset, match=reason):
        parse_dataset(broken.encode(), ANY)


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
