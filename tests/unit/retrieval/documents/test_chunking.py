from __future__ import annotations

import uuid
from itertools import pairwise

import pytest

from retrieval.documents.chunking import ChunkingSettings, chunk, count_words, embedding_text
from retrieval.documents.loading import load
from retrieval.model import Block, Document, FileRef

SOURCE = FileRef("w1", "s1", "f1", 1)
SMALL = ChunkingSettings(chunk_size=20)
LONG = " ".join(f"Sentence {number} says that part {number} weighs {number} grams." for number in range(40))


def document(markdown: str) -> Document:
    return load(markdown.encode(), "a.md")


def test_every_chunk_is_exactly_its_span_of_the_text() -> None:
    read = document(f"# T\n\n{LONG}\n\n## Part\n\n{LONG}\n\nShort one.\n\nShort two.")
    chunks = chunk(read, SOURCE, ChunkingSettings(chunk_size=30, chunk_overlap=12))
    assert len(chunks) > 20
    assert all(read.text[one.start : one.end] == one.text for one in chunks)
    assert [one.position for one in chunks] == list(range(len(chunks)))


def test_no_word_is_lost_and_chunks_keep_to_their_size() -> None:
    read = document(f"# T\n\n{LONG}")
    chunks = chunk(read, SOURCE, SMALL)
    assert " ".join(one.text for one in chunks).split() == LONG.split()
    assert all(count_words(one.text) <= 20 for one in chunks)


def test_a_sentence_is_not_cut_where_it_fits() -> None:
    assert all(one.text.endswith("grams.") for one in chunk(document(f"# T\n\n{LONG}"), SOURCE, SMALL))


def test_an_overlap_repeats_whole_sentences() -> None:
    chunks = chunk(document(LONG), SOURCE, ChunkingSettings(chunk_size=30, chunk_overlap=10))
    assert all(after.start < before.end for before, after in pairwise(chunks))
    assert all(one.text.startswith("Sentence") for one in chunks)


def test_repeated_sentences_keep_exact_spans() -> None:
    read = document("The same words again and again. " * 30)
    chunks = chunk(read, SOURCE, SMALL)
    assert all(read.text[one.start : one.end] == one.text for one in chunks)
    assert all(before.end <= after.start for before, after in pairwise(chunks))
    assert chunks[-1].end == len(read.text)


def test_small_neighbours_of_one_section_come_together_but_never_over_a_heading() -> None:
    chunks = chunk(document("# T\n\nOne.\n\nTwo.\n\n## A\n\nThree.\n\n## B\n\nFour."), SOURCE, SMALL)
    assert [(one.text, one.headings) for one in chunks] == [
        ("One.\n\nTwo.", ("T",)),
        ("Three.", ("T", "A")),
        ("Four.", ("T", "B")),
    ]


def test_two_sections_of_the_same_name_stay_apart() -> None:
    chunks = chunk(document("# T\n\n## Note\n\nOne.\n\n## Note\n\nTwo."), SOURCE, SMALL)
    assert [one.text for one in chunks] == ["One.", "Two."]


def test_a_chunk_never_crosses_a_page() -> None:
    text = "One.\n\nTwo.\n\nThree."
    blocks = (Block(0, 4, (), 1), Block(6, 10, (), 1), Block(12, 18, (), 2))
    chunks = chunk(Document("a.pdf", "A", text, blocks), SOURCE, SMALL)
    assert [(one.text, one.page) for one in chunks] == [("One.\n\nTwo.", 1), ("Three.", 2)]


def test_text_without_any_break_is_cut_all_the_same() -> None:
    read = document("x" * 500)
    chunks = chunk(read, SOURCE, SMALL, len)
    assert "".join(one.text for one in chunks) == "x" * 500
    assert all(len(one.text) <= 20 for one in chunks)


def test_ids_follow_from_store_file_revision_and_position_alone() -> None:
    read = document("# T\n\nOne.\n\n## A\n\nTwo.")
    first, again = (chunk(read, SOURCE, SMALL) for _ in range(2))
    assert [one.id for one in first] == [one.id for one in again]
    assert all(str(uuid.UUID(one.id)) == one.id for one in first)
    others = [FileRef("w1", "s2", "f1", 1), FileRef("w1", "s1", "f2", 1), FileRef("w1", "s1", "f1", 2)]
    ids = {one.id for source in (SOURCE, *others) for one in chunk(read, source, SMALL)}
    assert len(ids) == 8


def test_what_is_embedded_names_title_and_section_once() -> None:
    one = chunk(document("# Bikes\n\n## City\n\n### Lights\n\nBright."), SOURCE, SMALL)[0]
    assert embedding_text(one) == "Bikes\nCity > Lights\nBright."


@pytest.mark.parametrize(("size", "overlap"), [(10, 0), (100, 100), (100, -1)])
def test_sizes_that_make_no_sense_are_refused(size: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="chunk_size"):
        ChunkingSettings(size, overlap)
