from __future__ import annotations

from collections.abc import Sequence

import pytest

from retrieval.embedding import Bm25Encoder
from retrieval.fusion import FusionSettings, fuse
from retrieval.index.port import Candidates, Scope, Scored
from retrieval.model import Chunk, FileRef, Passage, SparseVector
from retrieval.search import Searcher, collapse
from tests.fakes import HashingEmbedder


def make_chunk(name: str, text: str = "") -> Chunk:
    source = FileRef("w1", "s1", f"file-{name}", 1)
    return Chunk(name, source, 0, text or name, "a.md", "A", (), None, 0, 1)


def scored(**scores: float) -> tuple[Scored, ...]:
    ranked = sorted(scores.items(), key=lambda item: -item[1])
    return tuple(Scored(make_chunk(name), score) for name, score in ranked)


def order(passages: Sequence[Passage]) -> list[str]:
    return [passage.chunk.id for passage in passages]


class TestFusion:
    def test_weighted_adds_scores_scaled_to_one(self) -> None:
        found = fuse(Candidates(scored(a=0.9, b=0.6, c=0.5), scored(b=12.0, d=2.0)), FusionSettings())
        assert order(found) == ["b", "a", "c", "d"]
        assert [round(passage.score, 3) for passage in found] == [0.625, 0.5, 0.0, 0.0]

    def test_every_stages_rank_and_score_is_kept(self) -> None:
        best = fuse(Candidates(scored(a=0.9, b=0.6), scored(b=12.0)), FusionSettings())
        assert {(one.chunk.id, one.dense_rank, one.dense_score, one.sparse_rank, one.sparse_score) for one in best} == {
            ("a", 1, 0.9, None, None),
            ("b", 2, 0.6, 1, 12.0),
        }

    def test_the_dense_weight_decides_between_stages(self) -> None:
        both = Candidates(scored(a=0.9, b=0.1), scored(b=9.0, a=1.0))
        assert order(fuse(both, FusionSettings(dense_weight=0.7))) == ["a", "b"]
        assert order(fuse(both, FusionSettings(dense_weight=0.3))) == ["b", "a"]

    def test_reciprocal_ranks_are_added(self) -> None:
        found = fuse(Candidates(scored(a=0.9, b=0.6), scored(b=12.0, c=1.0)), FusionSettings("rrf", rrf_k=10))
        assert order(found) == ["b", "a", "c"]
        assert found[0].score == pytest.approx(1 / 12 + 1 / 11)

    def test_a_stage_that_found_nothing_does_no_harm(self) -> None:
        assert order(fuse(Candidates(scored(a=0.9, b=0.6), ()), FusionSettings())) == ["a", "b"]
        assert fuse(Candidates(), FusionSettings()) == []

    def test_ties_are_always_broken_alike(self) -> None:
        found = Candidates((Scored(make_chunk("b"), 0.5), Scored(make_chunk("a"), 0.5)), ())
        assert order(fuse(found, FusionSettings())) == ["a", "b"]

    @pytest.mark.parametrize("settings", [{"dense_weight": 1.5}, {"rrf_k": 0}])
    def test_settings_that_make_no_sense_are_refused(self, settings: dict[str, float]) -> None:
        with pytest.raises(ValueError, match="dense_weight"):
            FusionSettings(**settings)  # type: ignore[arg-type]


class TestCollapse:
    def collapsed(self, *texts: str) -> list[str]:
        return [
            one.chunk.text for one in collapse(Passage(make_chunk(str(n), text), 1.0) for n, text in enumerate(texts))
        ]

    def test_the_same_words_are_shown_once(self) -> None:
        assert self.collapsed("Refunds take 5 days.", "REFUNDS take\n5 days", "Other.") == [
            "Refunds take 5 days.",
            "Other.",
        ]

    def test_a_part_of_a_better_passage_is_left_out(self) -> None:
        assert self.collapsed("Refunds take 5 days. By card.", "Refunds take 5 days.") == [
            "Refunds take 5 days. By card."
        ]

    def test_texts_that_differ_in_a_number_are_both_shown(self) -> None:
        assert len(self.collapsed("Refunds take 5 days.", "Refunds take 15 days.")) == 2


class Shelf:
    """An index of fixed candidates; serves the first `limit` of each stage."""

    def __init__(self, dense: tuple[Scored, ...], sparse: tuple[Scored, ...] = ()) -> None:
        self.dense, self.sparse = dense, sparse

    def search(self, dense: Sequence[float], sparse: SparseVector, limit: int, scope: Scope) -> Candidates:
        return Candidates(self.dense[:limit], self.sparse[:limit])


class TestSearcher:
    searcher = Searcher(HashingEmbedder(), Bm25Encoder())

    def search(self, *shelves: Shelf, top_k: int = 3, unwanted: frozenset[str] = frozenset()) -> list[str]:
        def wanted(chunks: Sequence[Chunk]) -> frozenset[str]:
            return frozenset(chunk.id for chunk in chunks) - unwanted

        found = self.searcher.search(shelves, "a question", Scope("w1"), top_k, wanted=wanted)  # type: ignore[arg-type]
        return order(found.passages)

    def test_several_collections_are_searched_as_one(self) -> None:
        assert self.search(Shelf(scored(a=0.9, c=0.5)), Shelf(scored(b=0.7))) == ["a", "b", "c"]

    def test_no_collection_gives_no_passages(self) -> None:
        assert self.search() == []

    def test_unwanted_chunks_are_left_out(self) -> None:
        assert self.search(Shelf(scored(a=0.9, b=0.8, c=0.7)), unwanted=frozenset("a")) == ["b", "c"]

    def test_many_unwanted_chunks_do_not_hide_the_others(self) -> None:
        many = {f"x{number:02}": 0.9 - number / 1000 for number in range(40)}
        assert self.search(Shelf(scored(**many, a=0.1)), unwanted=frozenset(many)) == ["a"]
