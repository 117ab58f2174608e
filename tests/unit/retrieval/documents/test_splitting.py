from __future__ import annotations

import random
from base64 import b64encode
from itertools import pairwise

import pytest

from harness.places import SHARED
from retrieval.documents.chunking import ChunkingSettings, Strategy, chunk, count_words, embedding_text
from retrieval.documents.loading import load
from retrieval.documents.splitting import windows
from retrieval.embedding.embedder import Bm25Encoder
from retrieval.model import Chunk, Document, FileRef

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


IMAGE = b64encode(random.Random(1).randbytes(75_000)).decode()
THAI = "หม้อไอน้ำเปิดด้วยปุ่มสีเขียวที่แผงควบคุมด้านซ้ายของห้องเครื่องความดันต้องอยู่ระหว่างหนึ่งถึงสองบาร์เสมอ" * 40
CHINESE = "顾客可以在收货后三十天内退回自行车，退货须保留原包装，运费由顾客承担。可以吗？可以！" * 60
SHARED_THAI = SHARED / "cases" / "documents" / "thai.md"
LONG_RUNS = {
    "thai": THAI,
    "chinese": CHINESE,
    "chinese without a full stop": CHINESE.translate(dict.fromkeys(map(ord, "。？！，"), "")),
    "an image": f"An image. ![x](data:image/png;base64,{IMAGE}) The end.",
    "one word": "a" * 100_000,
    "a line of dashes": "-" * 100_000,
    "a cell": f"| a | b |\n|---|---|\n| x | {'y' * 30_000} |\n| c | d |",
    "code": f"```\n{'z' * 30_000}\n```",
    "families": "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 5_000,
}


@pytest.mark.parametrize("strategy", ["structure", "sentences", "fixed", "document"])
@pytest.mark.parametrize("name", LONG_RUNS)
def test_a_long_run_without_spaces_makes_no_giant_chunk(name: str, strategy: Strategy) -> None:
    """Counted as the default embedder does: a word of over 100 characters is one token to it."""
    document = load(f"# T\n\n{LONG_RUNS[name]}".encode(), "a.md")
    chunks = chunk(document, SOURCE, ChunkingSettings(160, strategy=strategy), count_words)
    assert max(len(one.text) for one in chunks) <= 2000
    assert all(document.text[one.start : one.end] == one.text for one in chunks)
    kept = "".join("".join(one.text.split()) for one in chunks)
    assert "".join(LONG_RUNS[name].split()) in kept.removeprefix("T")


def test_no_sign_is_cut_off_the_letter_that_it_is_on() -> None:
    for name in ("thai", "families"):
        _, chunks = cut(f"# T\n\n{LONG_RUNS[name]}", size=160)
        assert len(chunks) > 1
        assert not any(one.text[0] in "\u0e31\u0e34\u0e35\u0e37\u0e48\u0e49\u0e47\u200d" for one in chunks)


def test_chinese_is_cut_between_sentences() -> None:
    document = load(f"# T\n\n{CHINESE}".encode(), "a.md")
    chunks = chunk(document, SOURCE, ChunkingSettings(160), len)
    assert len(chunks) > 1
    assert all(one.text[-1] in "。？！" for one in chunks)
    assert all(len(one.text) <= 160 for one in chunks)


def test_arabic_and_hindi_are_cut_between_sentences() -> None:
    for sentence in (
        "\u0647\u0644 \u064a\u0645\u0643\u0646 \u0625\u0631\u062c\u0627\u0639\u0647\u0627\u061f ",
        "साइकिल तीस दिनों में लौटाई जा सकती है। ",
    ):
        _, chunks = cut(f"# T\n\n{sentence * 40}", size=60)
        assert len(chunks) > 1
        assert all(one.text[-1] == sentence.strip()[-1] for one in chunks)


def test_the_shared_thai_page_is_cut_into_chunks_that_a_question_finds() -> None:
    if not SHARED_THAI.exists():
        pytest.skip("the shared cases are not here")
    document = load(SHARED_THAI.read_bytes(), "thai.md")
    chunks = chunk(document, SOURCE, ChunkingSettings(), count_words)
    assert len(chunks) > 1
    assert max(len(one.text) for one in chunks) <= 2000
    bm25, asked = Bm25Encoder(), "หม้อไอน้ำเปิดด้วยปุ่มสีอะไร"
    assert all(set(bm25.document(one.text).indices) & set(bm25.query(asked).indices) for one in chunks)
