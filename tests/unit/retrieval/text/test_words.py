from __future__ import annotations

import re

import pytest

from harness.places import BRINDLE
from retrieval.text.markers import markers, strip_markers
from retrieval.text.sentences import sentences
from retrieval.text.stems import stem
from retrieval.text.stop_words import STOP_WORDS
from retrieval.text.words import content_words, share_of_words


def test_sentences_and_list_items_have_spans_that_keep_markers() -> None:
    text = "One is here [1]. Two is there. [2] Three.\n\n- Four [1].\n- Five"
    parts = [text[start:end] for start, end in sentences(text)]
    assert parts == ["One is here [1].", "Two is there. [2]", "Three.", "- Four [1].", "- Five"]


def test_strip_markers_leaves_the_words() -> None:
    assert strip_markers("Within 30 days [1][2]. Done.") == "Within 30 days. Done."


def test_content_words_are_stems_without_stop_words_and_figures_stay_whole() -> None:
    assert content_words("The bikes were returned within 2.5 days.") == {"bik", "return", "within", "2.5", "day"}


def test_the_share_of_words_is_of_the_first_text() -> None:
    assert share_of_words("Bikes and helmets", "A helmet, some gloves, a bike") == 1.0
    assert share_of_words("Bikes and trailers", "A helmet and a bike") == 0.5
    assert share_of_words("It is", "It is") == 0.0


@pytest.mark.parametrize(
    ("written", "numbers"),
    [
        ("[1]", (1,)),
        ("[1, 2]", (1, 2)),
        ("[1,2-4, 9]", (1, 2, 3, 4, 9)),
        ("[1-3]", (1, 2, 3)),
        ("[1\u20133]", (1, 2, 3)),
        ("[ 1 ; 2 ]", (1, 2)),
        ("[1 and 2]", (1, 2)),
        ("[1, 2, and 3]", (1, 2, 3)),
        ("[3-1]", (3, 1)),
        ("\u30101\u3011", (1,)),
        ("\u30101\u30012\u3011", (1, 2)),
        ("\u30101\u2020source\u3011", (1,)),
        ("\uff3b\uff11\uff3d", (1,)),
    ],
)
def test_a_marker_is_read_in_every_way_that_models_write_it(written: str, numbers: tuple[int, ...]) -> None:
    text = f"Within 30 days {written}. Done."
    assert [one.numbers for one in markers(text)] == [numbers]
    assert strip_markers(text) == "Within 30 days. Done."
    behind = f"It is so. {written} Done."
    assert [behind[slice(*span)] for span in sentences(behind)] == [f"It is so. {written}", "Done."]


@pytest.mark.parametrize(
    "text",
    [
        "Item (1) of 3.",
        "Founded in [2019] or [2019-2021].",
        "It weighs [1.5] kg at [10:30].",
        "Take `list[0]` of it.",
        "```\nprint(rows[1])\n```",
        "A footnote[^1] and [a].",
    ],
)
def test_years_decimals_and_code_are_no_markers(text: str) -> None:
    assert markers(text) == []
    assert strip_markers(text) == text


def test_markers_in_a_row_are_taken_out_with_the_commas_between_them() -> None:
    assert strip_markers("Within 30 days [1], [2], and by card [3].") == "Within 30 days, and by card."


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "三十天之内。【1】运费由顾客承担！可以吗？可以。",
            ["三十天之内。【1】", "运费由顾客承担！", "可以吗？", "可以。"],
        ),
        ("「はい。」本当？！はい。", ["「はい。」", "本当？！", "はい。"]),
        (
            "\u0647\u0644 \u064a\u0645\u0643\u0646\u061f \u0646\u0639\u0645.",
            ["\u0647\u0644 \u064a\u0645\u0643\u0646\u061f", "\u0646\u0639\u0645."],
        ),
        ("यह है। वह है।", ["यह है।", "वह है।"]),
        ("重３．５公斤。轻。", ["重３．５公斤。", "轻。"]),
        ("It is so. [1], [2-3] Done.", ["It is so. [1], [2-3]", "Done."]),
        ("It is so.[1, 2] Done.", ["It is so.[1, 2]", "Done."]),
    ],
)
def test_a_sentence_ends_at_the_full_stops_of_its_script(text: str, parts: list[str]) -> None:
    assert [text[start:end] for start, end in sentences(text)] == parts


def test_a_part_of_a_clause_without_spaces_has_words_in_common_with_the_whole() -> None:
    assert share_of_words("三十天内可以退货", "顾客可以在三十天内退货") > 0.7
    assert share_of_words("30日以内に返品できます", "商品到着後30日以内であれば返品できます") > 0.7
    assert share_of_words("คืนได้ภายใน 30 วัน", "ลูกค้าสามารถคืนได้ภายใน 30 วันหลังได้รับ") > 0.8
    assert share_of_words("三十天内可以退货", "电池应在室温下充电四小时") < 0.2


def test_english_is_read_as_it_was() -> None:
    """The support threshold was fitted on these words; they are those of the expressions before other scripts came."""
    word = re.compile(r"[^\W_]+(?:[.,:'-][^\W_]+)*")
    end = re.compile(r"(?<=[.!?])(?:\s*\[\d{1,2}\])*\s+(?=\S)|\n+")
    texts = [path.read_text() for path in sorted(BRINDLE.rglob("*")) if path.suffix in (".md", ".jsonl")]
    assert sum(map(len, texts)) > 100_000
    for text in texts:
        words = (one.lower() for one in word.findall(text))
        assert content_words(text) == frozenset(stem(one) for one in words if one not in STOP_WORDS)
        cuts = [(match.start() + len(match.group().rstrip()), match.end()) for match in end.finditer(text)]
        starts, stops = [0, *(after for _, after in cuts)], [*(before for before, _ in cuts), len(text)]
        spans = [(start, stop) for start, stop in zip(starts, stops, strict=True) if word.search(text[start:stop])]
        assert sentences(text) == spans
