from __future__ import annotations

from retrieval.answers.json_citations import cite_json
from retrieval.model import Chunk, FileRef, Passage

TEXTS = (
    "Customers may return a bike within 30 days of delivery.",
    "The workshop in Mülheim opens at nine.",
)
PASSAGES = tuple(
    Passage(Chunk(f"c{n}", FileRef("w", "vs", f"file-{n}", 1), 0, text, "a.md", "A", (), None, 0, len(text)), score=1.0)
    for n, text in enumerate(TEXTS)
)


def cited(answer: str) -> list[tuple[str, str, str]]:
    return [
        (citation.passage.chunk.source.file_id, answer[citation.start : citation.end], citation.origin)
        for citation in cite_json(answer, PASSAGES)
    ]


def test_each_text_of_an_answer_is_attributed_to_the_passage_that_supports_it() -> None:
    answer = (
        '{"customers return a bike": [{"a": "Return a bike within 30 days."}, "The workshop opens at nine."], "n": 3}'
    )
    assert cited(answer) == [
        ("file-0", "Return a bike within 30 days.", "server"),
        ("file-1", "The workshop opens at nine.", "server"),
    ]


def test_spans_are_of_the_answer_as_it_is_written() -> None:
    answer = r'{"a": "\"Yes\" \ud83d\ude00.\nThe workshop in M\u00fclheim opens at nine."}'
    assert cited(answer) == [("file-1", r"The workshop in M\u00fclheim opens at nine.", "server")]


def test_what_no_passage_supports_and_what_was_cut_off_has_no_citation() -> None:
    assert cited('{"a": "It sells tickets to the moon.", "b": "30 days", "c": "Customers may return a bi') == []
