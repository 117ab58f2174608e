from __future__ import annotations

import pytest

from retrieval.embedding.embedder import Bm25Encoder
from retrieval.search.follow_up import QUESTION_WEIGHT, context, question_vectors, standalone_query
from tests.fakes import HashingEmbedder

WARRANTY = "How long is the warranty on the Brindle City?"


@pytest.mark.parametrize(
    "question",
    [
        "And for the Hill?",
        "Does it cover the battery?",
        "What about refurbished ones?",
        "Why?",
        "Is that free?",
        "How long?",
    ],
)
def test_a_question_that_leans_on_the_last_one_is_searched_with_it(question: str) -> None:
    assert standalone_query(question, [WARRANTY]) == f"{WARRANTY} {question}"


@pytest.mark.parametrize(
    "question",
    [
        "What is the refund policy?",
        "How many days of leave do staff members get per year?",
        "Which tyre pressure does the Brindle Hill need?",
        "How is a battery shipped when it is damaged by water or fire?",
    ],
)
def test_a_question_with_words_of_its_own_is_searched_as_it_is(question: str) -> None:
    assert standalone_query(question, [WARRANTY]) == question


def test_a_first_question_is_searched_as_it_is() -> None:
    assert standalone_query("  And for the Hill? ", []) == "And for the Hill?"


def test_a_chain_of_follow_ups_reaches_back_to_its_subject() -> None:
    history = ["Something else entirely about parking bikes", WARRANTY, "And for the Hill?"]
    assert (
        standalone_query("Does it cover the battery?", history)
        == f"{WARRANTY} And for the Hill? Does it cover the battery?"
    )


def test_only_the_nearest_turns_are_used() -> None:
    history = [WARRANTY, "And it?", "And that?", "And this?"]
    assert standalone_query("And those?", history) == "And it? And that? And this? And those?"


def test_a_long_turn_before_is_cut() -> None:
    query = standalone_query("And then?", ["word " * 500])
    assert len(query.split()) == 64 + 2


def test_a_question_is_searched_with_the_turn_before_at_less_weight() -> None:
    embedder, bm25 = HashingEmbedder(), Bm25Encoder()
    dense, sparse = question_vectors("Is refurbished covered?", [WARRANTY], embedder, bm25)
    weights = dict(zip(sparse.indices, sparse.values, strict=True))
    own, before = bm25.query("Is refurbished covered?"), bm25.query(WARRANTY)
    assert all(weights[term] == pytest.approx(QUESTION_WEIGHT * own.values[0]) for term in own.indices)
    assert all(weights[term] == pytest.approx((1 - QUESTION_WEIGHT) * before.values[0]) for term in before.indices)
    assert sum(number * number for number in dense) == pytest.approx(1.0)
    assert cosine(dense, embedder.embed_query("Is refurbished covered?")) > cosine(
        dense, embedder.embed_query(WARRANTY)
    )
    assert cosine(dense, embedder.embed_query(WARRANTY)) > 0.3


def cosine(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_a_first_question_has_its_own_vectors() -> None:
    embedder, bm25 = HashingEmbedder(), Bm25Encoder()
    assert question_vectors(WARRANTY, ["  "], embedder, bm25) == (embedder.embed_query(WARRANTY), bm25.query(WARRANTY))


def test_words_of_both_count_twice_and_a_question_of_stop_words_has_those_of_its_context() -> None:
    embedder, bm25 = HashingEmbedder(), Bm25Encoder()
    _, same = question_vectors("warranty", ["warranty"], embedder, bm25)
    assert same.values == pytest.approx(bm25.query("warranty").values)
    _, only = question_vectors("And how?", [WARRANTY], embedder, bm25)
    assert set(only.indices) >= set(bm25.query(WARRANTY).indices)


def test_the_context_is_the_turn_before_and_what_that_one_leans_on() -> None:
    assert context([]) == ""
    assert context(["Something about parking", WARRANTY]) == WARRANTY
    assert context([WARRANTY, "And for the Hill?"]) == f"{WARRANTY} And for the Hill?"


@pytest.mark.parametrize(
    ("question", "earlier", "leans"),
    [
        ("那运费呢？", "三十天内可以退货吗？", True),
        ("退回自行车的运费由谁承担？", "电池要充多久？", False),
        ("送料は？", "返品できますか？", True),
        ("バッテリーの充電には何時間かかりますか？", "返品できますか？", False),
        ("แล้วค่าขนส่ง", "คืนได้ไหม", True),
        ("ใครเป็นผู้จ่ายค่าขนส่งเมื่อคืนจักรยาน", "ชาร์จนานแค่ไหน", False),
    ],
)
def test_a_long_question_of_a_script_without_spaces_stands_alone_and_a_short_one_does_not(
    question: str, earlier: str, leans: bool
) -> None:
    assert standalone_query(question, [earlier]) == (f"{earlier} {question}" if leans else question)
