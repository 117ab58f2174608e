"""Answers that go round in circles end before the second round; what only repeats stays whole."""

from __future__ import annotations

import time
from collections.abc import Iterator
from random import Random

import pytest

from harness.jsonl import read_jsonl
from harness.places import BRINDLE, HANDBOOKS, SHARED_DATA
from retrieval.answers.loops import LoopWatch

SENTENCE = "You may return a bike within 30 days of delivery [1]."
SONGS = (
    "What shall we do with the drunken sailor?\n" * 3 + "Early in the morning!\n\n" + "Way hay and up she rises,\n" * 3
    + "Early in the morning!",
    "He's got the whole world in His hands,\n" * 4 + "\n" + "He's got the wind and the rain in His hands,\n" * 3
    + "He's got the whole world in His hands.",
    "Someone's singing, Lord, kumbaya!\n" * 3 + "Oh Lord, kumbaya!",
    "London Bridge is falling down,\nFalling down, falling down.\nLondon Bridge is falling down,\nMy fair lady.",
    "Row, row, row your boat,\nGently down the stream.\nMerrily, merrily, merrily, merrily,\nLife is but a dream.",
)  # fmt: skip
TABLES = (
    "| day | open | close |\n|---|---|---|\n" + "".join(f"| {day} | 9:00 | 17:00 |\n" for day in range(1, 32)),
    "| name | left | right |\n|---|---|---|\n" + "| | | |\n" * 30,
    "| part | state | remark |\n|---|---|---|\n" + "| n/a | n/a | n/a |\n" * 8,
    "\n".join(f"- Room {number}: free" for number in range(100, 160)),
    "\n".join(f"{number}. Rinse, wait for ten minutes and repeat." for number in range(1, 5)),
    "Dose: none\n" * 12,
    "| part | state |\n|---|---|\n" + "| not measured | not applicable |\n" * 12,
    "0,0,0,0,0,0\n" * 40,
    "| step | owner | state |\n|---|---|---|\n"
    + "".join(f"| {step} | Department to be named | Not started, waits for approval |\n" for step in range(1, 21)),
    "id,date,state,amount\n" + "".join(f"{row},2024-01-01,pending,0.00\n" for row in range(100)),
    "".join(f"{hour}:00 - Take one tablet with a full glass of water.\n" for hour in range(6, 24, 2)),
    "".join(f"{litres}.5 l of water and a handful of salt for each pot\n" for litres in range(1, 12)),
    "\n".join(" ".join("1" if row == column else "0" for column in range(20)) for row in range(20)),
    "\n".join(" ".join(["0"] * 30) for _ in range(30)),
    "\n".join(f"{at:08x}  " + "00 " * 16 for at in range(0, 512, 16)),
)


def read(text: str, cut_short: bool = False, seed: int = 0) -> tuple[str, LoopWatch, int]:
    """What a client sees of a text that comes in pieces, and how many characters of it were read."""
    drawn, watch, sent, place = Random(seed), LoopWatch(), "", 0
    while place < len(text) and not watch.looping:
        size = drawn.randint(1, 9)
        sent += watch.feed(text[place : place + size])
        place += size
    return (sent if watch.looping else sent + watch.rest(cut_short)), watch, place


@pytest.mark.parametrize(
    ("start", "again", "kept"),
    [
        ("", f"{SENTENCE} ", SENTENCE),
        ("Yes. ", f"{SENTENCE}\n\n", f"Yes. {SENTENCE}"),
        ("", "Return it. Within 30 days, to any shop that sells our bikes. ", None),
        ("Steps:\n", "- Call the desk and ask for the form.\n", "Steps:\n- Call the desk and ask for the form."),
        ("", "您可以在收到货物后三十天内退货。", "您可以在收到货物后三十天内退货。"),
        ("", "Sie können das Rad innerhalb von 30 Tagen zurückgeben. ", None),
        ("", "คุณสามารถคืนจักรยานได้ภายในสามสิบวัน\n", "คุณสามารถคืนจักรยานได้ภายในสามสิบวัน"),
    ],
)
def test_a_loop_ends_before_its_second_round_is_sent(start: str, again: str, kept: str | None) -> None:
    sent, watch, place = read(start + again * 60)
    assert watch.looping
    assert sent == (kept or (start + again).rstrip())
    assert place < len(start) + 700  # and long before the tokens run out


def test_items_that_differ_by_their_number_or_marker_alone_are_a_loop() -> None:
    items = "".join(f"{n}. Call the desk and ask for the form [{n % 3 + 1}].\n" for n in range(1, 60))
    sent, watch, _ = read(f"Do this:\n{items}")
    assert (sent, watch.looping) == ("Do this:\n1. Call the desk and ask for the form [2].", True)


def test_words_that_run_on_without_a_sentence_end_too_and_no_word_is_cut() -> None:
    sent, watch, place = read("The ferry is " + "very " * 500)
    assert watch.looping
    assert set(sent.split()) == {"The", "ferry", "is", "very"}
    assert place < 700


@pytest.mark.parametrize(
    ("start", "again"),
    [
        ("The ferry leaves at nine and ", "then it goes to the island and from there to the harbour and back and "),
        ("", "คุณสามารถคืนจักรยานได้ภายในสามสิบวัน"),
        ("", "คุณสามารถคืนจักรยานได้ภายในสามสิบวัน "),
        ("Inhalt: ", "ein Rahmen, ein Sattel, eine Kette, zwei Bremsen, zwei Reifen, "),
        ("", "ብስክሌቱን በሰላሳ ቀናት ውስጥ መመለስ ይችላሉ። "),
    ],
)
def test_of_a_round_without_a_sentence_end_no_second_one_is_sent_whole(start: str, again: str) -> None:
    for seed in range(3):
        sent, watch, _ = read(start + again * 60, seed=seed)
        assert watch.looping
        assert len(sent) < len(start) + 2 * len(again) - 15


def test_a_loop_within_one_endless_word_is_found_too() -> None:
    sent, watch, place = read("The bell says " + "dong" * 500)
    assert watch.looping
    assert len(sent) < place < 700


@pytest.mark.parametrize("filler", ["-", ".", "\n", " ", "👍"])
def test_lines_and_dots_without_an_end_take_no_longer_for_each_further_piece(filler: str) -> None:
    watch, began = LoopWatch(), time.perf_counter()
    sent = "".join(watch.feed(letter) for letter in "Contents" + filler * 10_000)
    assert sent.startswith("Contents")
    assert time.perf_counter() - began < 2.5  # it was 4 s, and no other request was answered


def test_a_table_cut_by_its_limit_loses_no_row() -> None:
    text = "hour,bikes\n0,0\n0,0\n0,0\n0,0\n0,0\n0,0\n0,0\n"
    assert read(text, cut_short=True)[0] == text


def test_an_answer_cut_by_its_limit_within_another_round_keeps_the_first_alone() -> None:
    sent, watch, _ = read(f"{SENTENCE} {SENTENCE} {SENTENCE[:20]}", cut_short=True)
    assert (sent, watch.looping) == (SENTENCE, True)
    said_twice = f"{SENTENCE} {SENTENCE}"
    assert read(said_twice)[0] == said_twice  # the model ended it: nothing is taken away


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("text", [*SONGS, *TABLES])
def test_songs_lists_and_tables_stay_whole(text: str, seed: int) -> None:
    sent, watch, _ = read(text, seed=seed)
    assert (sent, watch.looping) == (text, False)


def test_the_first_words_are_sent_at_once_and_nothing_waits_for_a_sentence_that_is_new() -> None:
    watch = LoopWatch()
    assert watch.feed("You may") == "You may"
    assert watch.feed(" return it") == " return it"
    assert watch.feed(". The") == ". The"
    assert watch.feed(" desk") == " desk"


def answers() -> Iterator[str]:
    """Texts that people wrote as answers: the sample's, and those of the shared sets where they are there."""
    yield from (row["messages"][-1]["content"] for row in read_jsonl(BRINDLE / "train.jsonl"))
    yield from (path.read_text(encoding="utf-8") for path in sorted(HANDBOOKS.glob("*.md")))  # in six languages
    if SHARED_DATA.is_dir():
        yield from (row["response"] for row in read_jsonl(SHARED_DATA / "bible_style/pairs.jsonl")[:400])
        yield from (row["response"] for row in read_jsonl(SHARED_DATA / "medquad/style_pairs.jsonl"))
        yield from (row["response"] for row in read_jsonl(SHARED_DATA / "mts_dialog/train.jsonl")[:400])
        yield from (row["text"] for row in read_jsonl(SHARED_DATA / "medquad/documents.jsonl")[:200])


def test_of_hundreds_of_answers_that_people_wrote_none_is_cut_or_changed() -> None:
    texts = list(answers())
    assert len(texts) > (500 if SHARED_DATA.is_dir() else 200)
    changed = [text for seed, text in enumerate(texts) if read(text, cut_short=False, seed=seed)[0] != text]
    assert changed == []
