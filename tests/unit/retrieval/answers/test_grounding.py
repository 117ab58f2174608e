from __future__ import annotations

import pytest

from retrieval.answers import grounding
from retrieval.model import Chunk, FileRef, Message, Passage


def passage(text: str, title: str = "Refunds", headings: tuple[str, ...] = ()) -> Passage:
    source = FileRef("default", "vs_1", "file-1", 1)
    chunk = Chunk("id", source, 0, text, "refunds.md", title, headings, None, 0, len(text))
    return Passage(chunk, score=1.0)


REFUNDS = passage("Customers may return a bike within 30 days of delivery. The fee is £45.")
BATTERY = passage("Charge the battery at room temperature for four hours.", title="Battery")


def test_passages_are_numbered_from_one_with_their_title_and_headings() -> None:
    messages = grounding.grounded_messages("How long?", [REFUNDS, passage("x", "Manual", ("Manual", "Care"))])
    assert [message.role for message in messages] == ["system", "user"]
    assert "[1] Refunds\nCustomers may" in messages[1].content
    assert "[2] Manual > Care\nx" in messages[1].content
    assert messages[1].content.endswith("Question: How long?")


def test_history_stands_between_instruction_and_question() -> None:
    history = [Message("user", "Hello?"), Message("assistant", "Good day.")]
    assert grounding.plain_messages("And now?", history)[1:3] == history


def test_a_marker_becomes_a_citation_of_the_model_with_span_and_quote() -> None:
    answer = "You may return a bike within 30 days [1]."
    (citation,) = grounding.cite(answer, [REFUNDS, BATTERY])
    assert (citation.index, citation.origin, citation.supported) == (1, "model", True)
    assert answer[citation.start : citation.end] == answer
    assert citation.quote == "Customers may return a bike within 30 days of delivery."


def test_a_marker_on_the_wrong_passage_is_not_supported_and_the_server_names_the_right_one() -> None:
    citations = grounding.cite("You may return a bike within 30 days [2].", [REFUNDS, BATTERY])
    assert [(one.index, one.origin, one.supported) for one in citations] == [(2, "model", False), (1, "server", True)]


def test_a_marker_that_names_no_passage_is_left_out() -> None:
    citations = grounding.cite("Anything whatever happens here [7].", [REFUNDS])
    assert citations == []


def test_a_sentence_without_marker_is_attributed_by_the_server() -> None:
    citations = grounding.cite("The battery charges for four hours at room temperature.", [REFUNDS, BATTERY])
    assert [(citation.index, citation.origin) for citation in citations] == [(2, "server")]


@pytest.mark.parametrize(
    "answer",
    [
        grounding.REFUSAL,
        "The documents do not answer whether you may bring a dog.\n\n- Ask the care desk.",
        "The passages don't mention a belt drive.",
        "The passages don\u2019t mention a belt drive [1].",
        "This is not stated in the documents.",
        "None of the passages mentions a belt drive.",
        "The documents cannot answer this.",
        "Its price is not available in the given documents.",
    ],
)
def test_a_refusal_is_recognised_and_has_no_citations(answer: str) -> None:
    unmarked = answer + " Customers may return a bike within 30 days of delivery."
    assert grounding.is_refusal(answer, [REFUNDS])
    assert grounding.is_refusal(unmarked, [REFUNDS])
    assert grounding.cite(unmarked, [REFUNDS]) == []


@pytest.mark.parametrize(
    "answer",
    [
        "Documents are kept for 30 days [1].",
        "",
        "You do not pay a fee.\n\n- It is free.",
        "No documents have to state your name.",
        "None of the sources of water is covered.",
    ],
)
def test_an_answer_is_not_taken_for_a_refusal(answer: str) -> None:
    assert not grounding.is_refusal(answer, [REFUNDS])


POLICY = passage("The policy covers theft from a locked shed. The policy does not cover water damage.", title="Policy")


@pytest.mark.parametrize("mark", ["[2]", "[1, 2]", "[1][2]", "[1-2]", "\u30102\u3011", "\uff3b2\uff3d"])
def test_an_answer_that_tells_what_is_not_covered_keeps_the_citation_that_the_model_wrote(mark: str) -> None:
    answer = f"The policy does not cover water damage {mark}."
    found = grounding.cite(answer, [BATTERY, POLICY])
    assert (2, "model", True) in [(one.index, one.origin, one.supported) for one in found]
    assert not grounding.is_refusal(answer, [BATTERY, POLICY])


def test_an_answer_whose_first_sentence_alone_refuses_is_an_answer() -> None:
    answer = "The documents do not mention prices. The policy covers theft [1]."
    (citation,) = grounding.cite(answer, [POLICY])
    assert answer[citation.start : citation.end] == "The policy covers theft [1]."
    assert (citation.origin, citation.supported) == ("model", True)
    assert not grounding.is_refusal(answer, [POLICY])


@pytest.mark.parametrize("mark", ["", " [1]"])
def test_a_refusal_whose_words_stand_in_a_passage_stays_one(mark: str) -> None:
    faq = passage("The documents do not answer this question. Ask the desk about every question they do not answer.")
    answer = f"The documents do not answer this question{mark}."
    assert grounding.is_refusal(answer, [faq])
    assert grounding.cite(answer, [faq]) == []
    for written in (f"**{answer}**", answer.lower(), answer.removesuffix(".")):
        assert grounding.is_refusal(written, [faq])
        assert grounding.cite(written, [faq]) == []
    assert grounding.is_refusal("The documents do not answer every question.", [faq])


def test_a_marker_that_nothing_supports_makes_no_answer_of_a_refusal() -> None:
    answer = "The policy does not cover meteorites on Tuesdays [1]."
    assert grounding.is_refusal(answer, [BATTERY])
    assert grounding.cite(answer, [BATTERY]) == []


def test_where_the_passages_are_not_known_a_marker_is_taken_at_its_word() -> None:
    assert not grounding.is_refusal("The policy does not cover water damage [1].", None)
    assert grounding.is_refusal("The policy does not cover water damage.", None)
    assert grounding.is_refusal(f"{grounding.REFUSAL[:-1]} [1].", None)


@pytest.mark.parametrize("mark", ["[1, 2]", "[1][2]", "[1-2]", "[1\u20132]", "[1; 2]", "\u30101\u3011\u30102\u3011"])
def test_a_sentence_with_several_numbers_is_cited_by_the_model(mark: str) -> None:
    found = grounding.cite(f"Customers may return a bike within 30 days of delivery {mark}.", [REFUNDS, BATTERY])
    assert [(one.index, one.origin, one.supported) for one in found] == [(1, "model", True), (2, "model", False)]


def test_a_range_gives_the_passages_that_there_are() -> None:
    found = grounding.cite("Charge the battery at room temperature for four hours [1-99].", [REFUNDS, BATTERY])
    assert [one.index for one in found] == [1, 2]


def test_a_sentence_of_a_text_without_spaces_is_cited_from_a_longer_one() -> None:
    german = passage("Ladezeit: vier Stunden.")
    chinese = passage("顾客可以在收货后三十天内退回自行车。退货须保留原包装，运费由顾客承担。")
    found = grounding.cite("运费由顾客承担【2】。三十天内可以退回自行车。", [german, chinese])
    assert [(one.index, one.origin, one.supported) for one in found] == [(2, "model", True), (2, "server", True)]
    assert [one.quote for one in found] == [
        "退货须保留原包装，运费由顾客承担。",
        "顾客可以在收货后三十天内退回自行车。",
    ]
