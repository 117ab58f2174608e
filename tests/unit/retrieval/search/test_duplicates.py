from __future__ import annotations

from collections.abc import Iterator

import pytest

from retrieval.model import Chunk, FileRef, Passage
from retrieval.search.duplicates import collapse

LONG = (
    "A refund is paid within five days to the card that was charged. The shop tells the rider by mail. A bike that "
    "came back damaged is refunded once the workshop has seen it. Fees for late returns are taken off the refund."
)


def passage(name: str, text: str) -> Passage:
    return Passage(Chunk(name, FileRef("w1", "s1", f"file-{name}", 1), 0, text, "a.md", "A", (), None, 0, 1), 1.0)


def collapsed(*texts: str) -> list[str]:
    return [one.chunk.text for one in collapse(passage(str(number), text) for number, text in enumerate(texts))]


def test_the_same_words_are_shown_once() -> None:
    assert collapsed("Refunds take 5 days.", "REFUNDS take\n5 days", "Other.") == ["Refunds take 5 days.", "Other."]


def test_a_part_of_a_better_passage_is_left_out() -> None:
    assert collapsed("Refunds take 5 days. By card.", "Refunds take 5 days.") == ["Refunds take 5 days. By card."]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("five", "fifteen"),
        ("shop", "bank"),
        ("is refunded", "is not refunded"),
        ("is paid", "may be paid"),
        ("may be paid", "must be paid"),
        ("are taken off", "are taken on"),
        ("are taken off", "aren't taken off"),
        ("within five days", "after five days"),
        ("once", "until"),
        ("by mail", "in mail"),
        ("the card", "their card"),
        ("5 C", "-5 C"),
        ("5 C", "5 C++"),
        ("x < y", "x > y"),
        ("10 m", "10\u00b2 m"),
    ],
)
def test_texts_that_differ_in_one_word_or_sign_are_both_shown(old: str, new: str) -> None:
    text = f"{LONG} A deposit may be paid at 5 C where x < y and 10 m are left."
    changed = text.replace(old, new)
    assert changed != text
    assert len(collapsed(text, changed)) == len(collapsed(changed, text)) == 2


def test_the_same_text_with_its_sentences_moved_is_another_text() -> None:
    first, _, rest = LONG.partition(". ")
    assert len(collapsed(LONG, f"{rest} {first}.")) == 2


def test_a_text_that_a_better_one_has_within_a_word_or_a_figure_is_shown() -> None:
    assert len(collapsed("The party costs 3.5 euro.", "art")) == 2
    assert len(collapsed("The party costs 3.5 euro.", "5 euro.")) == 2
    assert len(collapsed("It may be -5 degrees.", "5 degrees.")) == 2
    assert len(collapsed("You must know C++ well.", "You must know C")) == 2


def test_repeats_that_differ_in_spaces_case_or_unicode_form_are_left_out() -> None:
    assert collapsed(LONG, LONG.upper().replace(" ", "\n "), LONG.replace(" ", "\u00a0")) == [LONG]
    assert collapsed("Caf\u00e9 ouvert.", "Cafe\u0301 ouvert.") == ["Caf\u00e9 ouvert."]


def test_a_repeat_with_a_page_header_is_left_out_whichever_is_better() -> None:
    headed = f"Brindle Handbook \u2013 page 3\n{LONG}"
    assert collapsed(headed, LONG) == [headed]
    assert collapsed(LONG, headed) == [LONG]


def test_a_line_in_front_that_says_what_the_text_is_about_is_no_header() -> None:
    assert len(collapsed(LONG, f"This is no longer true:\n{LONG}")) == 2
    assert len(collapsed(f"Model A\n{LONG}", f"Model B\n{LONG}")) == 2
    assert len(collapsed("Bikes.", "Not on Sundays\nBikes.")) == 2


def test_texts_without_spaces_collapse_by_whole_sentences_alone() -> None:
    whole = "顾客可以在三十天内退货。店员不可以拆开包装。"
    assert collapsed(whole, "顾客可以在三十天内退货。", "店员不可以拆开包装") == [whole]
    assert collapsed(whole, "可以拆开包装。") == [whole, "可以拆开包装。"]
    assert len(collapsed(whole, whole.replace("三十", "六十"))) == 2
    assert len(collapsed("ลูกค้าคืนสินค้าได้", "ลูกค้าคืนสินค้าไม่ได้")) == 2


def test_a_longer_text_is_shown_beside_its_better_part() -> None:
    assert len(collapsed("Refunds take 5 days.", f"{LONG} Refunds take 5 days.")) == 2


def test_texts_of_the_same_words_in_another_sense_are_both_shown() -> None:
    assert len(collapsed("the dog of the house bites the cat", "the cat of the house bites the dog")) == 2


def test_passages_are_read_only_as_far_as_they_are_needed() -> None:
    def endless() -> Iterator[Passage]:
        number = 0
        while True:
            yield passage(str(number), f"text {number}")
            number += 1

    found = collapse(endless())
    assert [next(found).chunk.text for _ in range(2)] == ["text 0", "text 1"]
