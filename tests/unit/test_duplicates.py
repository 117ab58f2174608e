from __future__ import annotations

from collections.abc import Iterator

from retrieval.duplicates import collapse
from retrieval.model import Chunk, FileRef, Passage

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


def test_the_same_text_with_its_sentences_moved_is_left_out() -> None:
    first, _, rest = LONG.partition(". ")
    assert collapsed(LONG, f"{rest} {first}.") == [LONG]


def test_a_changed_stop_word_makes_no_new_text() -> None:
    assert collapsed(LONG, LONG.replace("by mail", "in mail")) == [LONG]


def test_texts_that_differ_in_a_number_a_name_or_a_not_are_both_shown() -> None:
    for old, new in (("five", "fifteen"), ("shop", "bank"), ("is refunded", "is not refunded")):
        assert len(collapsed(LONG, LONG.replace(old, new))) == 2
        assert len(collapsed(LONG.replace(old, new), LONG)) == 2


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
