from __future__ import annotations

import random
from dataclasses import replace

import pytest

from retrieval.model import Chunk, FileRef
from training.embedders.pairs import Pair, PraisedAnswer, feedback_pairs, generated_pairs, split
from training.errors import InvalidDataset

TEXT = "Opened packaging of accessories is accepted. Helmets keep their inner hygiene seal. Refunds go to the card."


def chunk(file: str, position: int = 0, text: str = TEXT, heading: str = "Returning accessories") -> Chunk:
    source = FileRef("default", "vs_1", file, 1)
    headings = ("Refund policy", heading)
    return Chunk(f"{file}-{position}", source, position, text, f"{file}.md", "Refund policy", headings, None, 0, 1)


def describe(one: Chunk) -> str:
    return "\n".join(part for part in (one.title, *one.headings, one.text) if part)


def pair(query: str, document: str) -> Pair:
    return Pair(query, "text", f"{document}-0", document, "sentence")


def test_a_heading_asks_for_its_section_which_then_stands_without_title_and_headings() -> None:
    heading = generated_pairs([chunk("a")], describe, random.Random(1))[0]
    assert (heading.query, heading.source) == ("Refund policy Returning accessories", "heading")
    assert heading.passage == TEXT


def test_a_heading_asks_once_however_many_chunks_its_section_has() -> None:
    made = generated_pairs([chunk("a"), chunk("a", 1), chunk("b")], describe, random.Random(1))
    assert [one.chunk_id for one in made if one.source == "heading"] == ["a-0", "b-0"]


def test_a_sentence_asks_for_its_chunk_without_that_sentence() -> None:
    (made,) = [one for one in generated_pairs([chunk("a")], describe, random.Random(1)) if one.source == "sentence"]
    assert made.query in TEXT
    assert made.query not in made.passage
    assert made.passage.startswith("Refund policy")
    assert len(made.passage.split()) + len(made.query.split()) == len(describe(chunk("a")).split())


def test_a_chunk_of_few_sentences_or_empty_words_asks_nothing() -> None:
    short = replace(chunk("a"), text="It is so. It is.", title="", headings=())
    assert generated_pairs([short, replace(short, text="")], describe, random.Random(1)) == []


def test_a_praised_answer_gives_a_pair_for_each_passage_that_it_cites_and_each_only_once() -> None:
    praised = PraisedAnswer("May I return a helmet?", (chunk("a"), chunk("b")))
    made = feedback_pairs([praised, praised, PraisedAnswer("And now?", ())], describe)
    assert [(one.query, one.document, one.source) for one in made] == [
        ("May I return a helmet?", "a", "feedback"),
        ("May I return a helmet?", "b", "feedback"),
    ]


def test_no_document_and_no_query_stands_on_both_sides() -> None:
    pairs = [pair(f"query {number}", f"file-{number % 10}") for number in range(100)]
    pairs += [pair("The  same Query", f"file-{number}") for number in range(10)]
    pairs += [pair("the same query", f"file-{number}") for number in range(10)]
    trained, kept_out = split(pairs, 0.2, random.Random(1))
    assert not {one.document for one in trained} & {one.document for one in kept_out}
    assert not {one.query.lower() for one in kept_out} & {one.query.lower() for one in trained}
    assert 20 <= len(kept_out) <= 40
    assert "the same query" not in {" ".join(one.query.lower().split()) for one in trained}


def test_pairs_of_one_document_cannot_be_judged() -> None:
    with pytest.raises(InvalidDataset, match="all of one document"):
        split([pair("one", "a"), pair("two", "a")], 0.2, random.Random(1))
