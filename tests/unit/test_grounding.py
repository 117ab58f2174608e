from __future__ import annotations

import pytest

from retrieval import grounding
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
        "This is not stated in the documents.",
    ],
)
def test_a_refusal_is_recognised_and_has_no_citations(answer: str) -> None:
    assert grounding.is_refusal(answer)
    assert grounding.cite(answer + " Return within 30 days [1].", [REFUNDS]) == []


@pytest.mark.parametrize(
    "answer", ["Documents are kept for 30 days [1].", "", "You do not pay a fee.\n\n- It is free."]
)
def test_an_answer_is_not_taken_for_a_refusal(answer: str) -> None:
    assert not grounding.is_refusal(answer)
