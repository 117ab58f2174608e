from __future__ import annotations

from itertools import pairwise

from retrieval.chunking import ChunkingSettings, chunk, count_words, embedding_text
from retrieval.loading import load
from retrieval.model import Chunk, Document, FileRef
from retrieval.splitting import windows

SOURCE = FileRef("w1", "s1", "f1", 1)
ROWS = [f"| City {number} | {number} euro | {number * 2} days |" for number in range(12)]
TABLE = "\n".join(["| Plan | Price | Notice |", "|---|---:|---|", *ROWS])
CODE = "\n".join(["```python", *(f"value_{number} = compute({number})" for number in range(8)), "```"])
PROSE = " ".join(f"Sentence {number} says that part {number} weighs {number} grams." for number in range(12))


def cut(text: str, size: int = 60, overlap: int = 0, name: str = "a.md") -> tuple[Document, list[Chunk]]:
    document = load(text.encode(), name)
    return document, chunk(document, SOURCE, ChunkingSettings(size, overlap))


def test_a_table_is_cut_between_rows_only() -> None:
    document, chunks = cut(f"# T\n\n{TABLE}")
    assert len(chunks) > 1
    lines = [line for one in chunks for line in one.text.split("\n")]
    assert lines == TABLE.split("\n")
    assert all(document.text[one.start : one.end] == one.text for one in chunks)


def test_the_header_row_is_the_context_of_every_further_piece() -> None:
    _, chunks = cut(f"# T\n\n{TABLE}")
    assert chunks[0].headings == ("T",)
    assert {one.headings for one in chunks[1:]} == {("T", "Plan | Price | Notice")}
    assert embedding_text(chunks[1]).startswith("T\nPlan | Price | Notice\n| City")


def test_pieces_of_a_table_keep_to_the_size_with_their_header() -> None:
    _, chunks = cut(f"# T\n\n{TABLE}", size=50)
    assert all(count_words(one.text) + count_words("Plan | Price | Notice") <= 50 for one in chunks[1:])


def test_rows_as_the_html_reader_writes_them_are_a_table_too() -> None:
    rows = "".join(f"<tr><td>City {number}</td><td>{number} euro</td></tr>" for number in range(20))
    html = f"<main><h1>T</h1><table><tr><th>Plan</th><th>Price</th></tr>{rows}</table></main>"
    _, chunks = cut(html, name="a.html")
    assert len(chunks) > 1
    assert chunks[1].headings[-1] == "Plan | Price"
    assert all(line.count("|") == 1 for one in chunks for line in one.text.split("\n"))


def test_a_single_row_that_is_larger_than_a_chunk_is_cut_all_the_same() -> None:
    wide = f"| A | {PROSE} |\n| B | short |"
    document, chunks = cut(wide, size=30)
    assert all(count_words(one.text) <= 30 for one in chunks)
    assert all(document.text[one.start : one.end] == one.text for one in chunks)


def test_a_code_fence_that_fits_is_kept_whole() -> None:
    _, chunks = cut(f"# T\n\n{PROSE}\n{CODE}\n{PROSE}", size=50)
    assert sum(CODE in one.text for one in chunks) == 1


def test_a_code_fence_that_does_not_fit_is_cut_between_lines() -> None:
    _, chunks = cut(f"# T\n\n{CODE}", size=16)
    assert len(chunks) > 1
    assert [line for one in chunks for line in one.text.split("\n")] == CODE.split("\n")


def test_a_bar_in_a_fence_or_in_one_line_of_prose_makes_no_table() -> None:
    _, chunks = cut(f"# T\n\nChoose a | b here. {PROSE}\n```\nx | y\nz | w\n```\n{PROSE}", size=50)
    assert {one.headings for one in chunks} == {("T",)}


def test_an_unclosed_fence_loses_nothing() -> None:
    document, chunks = cut(f"# T\n\n{PROSE}\n```\n{PROSE}", size=30)
    assert "".join("".join(one.text.split()) for one in chunks) == "".join(
        document.text[document.blocks[0].start :].split()
    )


def test_sentences_fill_chunks_over_section_borders() -> None:
    document = load(b"# T\n\n## A\n\nOne here.\n\n## B\n\nTwo here.", "a.md")
    chunks = chunk(document, SOURCE, ChunkingSettings(20, strategy="sentences"))
    assert [(one.text, one.headings) for one in chunks] == [("One here.\n\nB\n\nTwo here.", ("T", "A"))]


def test_fixed_windows_cut_between_words_and_repeat_the_overlap() -> None:
    document = load(f"# T\n\n## A\n\n{PROSE}\n\n## B\n\n{PROSE}".encode(), "a.md")
    chunks = chunk(document, SOURCE, ChunkingSettings(20, 5, "fixed"))
    assert all(document.text[one.start : one.end] == one.text for one in chunks)
    assert all(count_words(one.text) == 20 for one in chunks[:-1])
    assert all(count_words(document.text[after.start : before.end]) == 5 for before, after in pairwise(chunks))
    assert {one.headings for one in chunks} == {("T", "A"), ("T", "B")}


def test_a_word_larger_than_a_window_is_a_window_of_its_own() -> None:
    pieces = list(windows("aaaa b cccccc d", 3, 1, len))
    assert ["aaaa b cccccc d"[one.start : one.end] for one in pieces] == ["aaaa", "b", "cccccc", "d"]


def test_a_document_that_fits_is_one_chunk_and_a_longer_one_follows_its_structure() -> None:
    short, long = load(b"# T\n\n## A\n\nOne.\n\n## B\n\nTwo.", "a.md"), load(f"# T\n\n{PROSE}".encode(), "b.md")
    whole = ChunkingSettings(20, strategy="document")
    assert [(one.text, one.headings) for one in chunk(short, SOURCE, whole)] == [("One.\n\nB\n\nTwo.", ("T",))]
    assert chunk(long, SOURCE, whole) == chunk(long, SOURCE, ChunkingSettings(20))
