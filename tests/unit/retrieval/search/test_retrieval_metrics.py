from __future__ import annotations

import pytest

from retrieval.metrics import containment, mrr, ndcg_at_k, recall_at_k, token_f1


def test_a_perfect_ranking_has_ndcg_one_and_a_late_hit_less() -> None:
    assert ndcg_at_k(["a", "b", "c"], {"a": 1, "b": 1}, 10) == pytest.approx(1.0)
    assert ndcg_at_k(["x", "a"], {"a": 1}, 10) == pytest.approx(0.63093, abs=1e-5)
    assert ndcg_at_k(["b", "a"], {"a": 2, "b": 1}, 2) == pytest.approx((1 + 2 / 1.58496) / (2 + 1 / 1.58496), abs=1e-4)


def test_what_stands_beyond_k_does_not_count() -> None:
    assert ndcg_at_k(["x", "a"], {"a": 1}, 1) == 0.0
    assert recall_at_k(["x", "a"], {"a"}, 1) == 0.0


def test_recall_is_the_share_found_and_mrr_the_first_hits_rank() -> None:
    assert recall_at_k(["a", "x", "b"], {"a", "b", "c", "d"}, 3) == 0.5
    assert mrr(["x", "y", "a", "b"], {"a", "b"}) == pytest.approx(1 / 3)
    assert mrr(["x"], {"a"}) == 0.0


def test_nothing_relevant_scores_zero() -> None:
    assert ndcg_at_k(["a"], {}, 10) == 0.0
    assert recall_at_k(["a"], set(), 10) == 0.0


def test_token_f1_weighs_precision_against_recall() -> None:
    assert token_f1("The pressure is 3.8 bar.", "the pressure IS 3.8 bar") == 1.0
    assert token_f1("3.8 bar", "the pressure is 3.8 bar") == pytest.approx(2 * 1 * 0.4 / 1.4)
    assert token_f1("3.8 bar", "3,9 psi") == 0.0
    assert token_f1("", "") == 1.0


def test_containment_asks_only_for_the_words_of_the_part() -> None:
    assert containment("3.8 bar", "The pressure is 3.8 bar.") == 1.0
    assert containment("3.8 bar cold", "The pressure is 3.8 bar.") == pytest.approx(2 / 3)
    assert containment("bar bar", "one bar") == 0.5
    assert containment("", "text") == 0.0
