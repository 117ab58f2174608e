from __future__ import annotations

from retrieval.words import content_words, sentences, share_of_words, strip_markers


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
