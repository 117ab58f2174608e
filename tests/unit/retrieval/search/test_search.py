from __future__ import annotations

from collections.abc import Sequence

import pytest

from retrieval.embedding.embedder import Bm25Encoder
from retrieval.index.port import Candidates, Scope, Scored, Scores
from retrieval.model import Chunk, FileRef, Passage, Point, SparseVector
from retrieval.search.expansion import ExpansionSettings
from retrieval.search.fusion import FusionSettings, fuse
from retrieval.search.searcher import Searcher, SearchSettings
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
        found = fuse(
            Candidates(scored(a=0.9, b=0.6, c=0.5), scored(b=12.0, d=2.0)), FusionSettings("weighted", dense_weight=0.5)
        )
        assert order(found) == ["b", "a", "c", "d"]
        assert [round(passage.score, 3) for passage in found] == [0.625, 0.5, 0.0, 0.0]

    def test_relative_adds_shares_of_each_stages_best(self) -> None:
        both = Candidates(scored(a=0.8, b=0.4), scored(b=12.0, a=3.0))
        found = fuse(both, FusionSettings("relative", dense_weight=0.5))
        assert [(one.chunk.id, round(one.score, 3)) for one in found] == [("b", 0.75), ("a", 0.625)]

    def test_relative_takes_a_chunk_off_the_end_of_a_list_for_as_good_as_its_last(self) -> None:
        both = Candidates(scored(a=0.8, b=0.6), scored(c=12.0, a=9.0))
        found = {one.chunk.id: one.score for one in fuse(both, FusionSettings("relative", dense_weight=0.5))}
        assert found == pytest.approx({"a": 0.5 + 0.375, "b": 0.375 + 0.375, "c": 0.375 + 0.5})

    def test_relative_knows_that_a_short_list_leaves_no_match_out(self) -> None:
        both = Candidates(scored(a=0.8, b=0.6, c=0.4), scored(c=12.0, a=9.0))
        found = {one.chunk.id: one.score for one in fuse(both, FusionSettings("relative", dense_weight=0.5))}
        assert found["b"] == pytest.approx(0.375)

    def test_relative_takes_scores_that_are_known_beyond_the_lists(self) -> None:
        both = Candidates(scored(a=0.8, b=0.6), scored(c=12.0, a=9.0))
        missing = Scores({"c": 0.2}, {"b": 3.0})
        found = {one.chunk.id: one.score for one in fuse(both, FusionSettings("relative", dense_weight=0.5), missing)}
        assert found == pytest.approx({"a": 0.5 + 0.375, "b": 0.375 + 0.125, "c": 0.125 + 0.5})

    def test_relative_ignores_a_stage_whose_best_is_no_likeness_at_all(self) -> None:
        both = Candidates(scored(a=-0.1, b=-0.2), scored(b=2.0))
        assert order(fuse(both, FusionSettings("relative"))) == ["b", "a"]

    def test_every_stages_rank_and_score_is_kept(self) -> None:
        best = fuse(Candidates(scored(a=0.9, b=0.6), scored(b=12.0)), FusionSettings())
        assert {(one.chunk.id, one.dense_rank, one.dense_score, one.sparse_rank, one.sparse_score) for one in best} == {
            ("a", 1, 0.9, None, None),
            ("b", 2, 0.6, 1, 12.0),
        }

    def test_the_dense_weight_decides_between_stages(self) -> None:
        both = Candidates(scored(a=0.9, b=0.1), scored(b=9.0, a=1.0))
        assert order(fuse(both, FusionSettings("weighted", dense_weight=0.7))) == ["a", "b"]
        assert order(fuse(both, FusionSettings("weighted", dense_weight=0.3))) == ["b", "a"]

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

    def test_dbsf_scales_by_mean_and_spread(self) -> None:
        found = fuse(Candidates(scored(a=0.9, b=0.6, c=0.3), ()), FusionSettings("dbsf", dense_weight=1.0))
        assert [round(one.score, 3) for one in found] == [0.667, 0.5, 0.333]

    def test_dbsf_counts_a_runaway_score_as_one_and_leaves_the_others_in_the_middle(self) -> None:
        many = {f"s{number:02}": 10.0 + number / 10 for number in range(20)}
        found = fuse(Candidates((), scored(a=900.0, **many)), FusionSettings("dbsf", dense_weight=0.0))
        assert found[0].score == 1.0
        assert all(0.4 < one.score < 0.5 for one in found[1:])

    def test_dbsf_takes_equal_scores_for_average(self) -> None:
        found = fuse(Candidates(scored(a=0.4), ()), FusionSettings("dbsf", dense_weight=1.0))
        assert [one.score for one in found] == [0.5]

    @pytest.mark.parametrize("settings", [{"dense_weight": 1.5}, {"rrf_k": 0}])
    def test_settings_that_make_no_sense_are_refused(self, settings: dict[str, float]) -> None:
        with pytest.raises(ValueError, match="dense_weight"):
            FusionSettings(**settings)  # type: ignore[arg-type]


class Shelf:
    """An index of fixed candidates; serves the first `limit` of each stage."""

    def __init__(self, dense: tuple[Scored, ...], sparse: tuple[Scored, ...] = ()) -> None:
        self.dense, self.sparse = dense, sparse

    def search(self, dense: Sequence[float], sparse: SparseVector, limit: int, scope: Scope) -> Candidates:
        self.asked = getattr(self, "asked", 0) + 1
        return Candidates(self.dense[:limit], self.sparse[:limit], {"dense": 1.0, "sparse": 2.0})

    def scores(
        self, dense: Sequence[float], dense_ids: Sequence[str], sparse: SparseVector, sparse_ids: Sequence[str]
    ) -> Scores:
        return Scores()

    def points(self, ids: Sequence[str]) -> list[Point]:
        empty = SparseVector((), ())
        return [Point(one.chunk, (1.0,) * 64, empty) for one in self.dense if one.chunk.id in ids]


class ByLength:
    """A reranker that prefers short texts, and keeps what it was asked."""

    name = "by length"

    def __init__(self) -> None:
        self.read: list[str] = []

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        self.read = list(texts)
        return [-float(len(text)) for text in texts]


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

    def test_every_stage_that_ran_has_its_time(self) -> None:
        found = self.searcher.search([Shelf(scored(a=0.9))], "a question", Scope("w1"), 3)  # type: ignore[list-item]
        assert set(found.timings_ms) == {"embed", "search", "dense", "sparse", "complete", "fuse", "select"}
        assert found.timings_ms["sparse"] == 2.0

    def test_a_reranker_orders_the_passages_that_it_reads_and_leaves_the_others_behind(self) -> None:
        chunks = [make_chunk("a", "a long text it is"), make_chunk("b", "short"), make_chunk("c", "tiny")]
        shelf = Shelf(tuple(Scored(one, 0.9 - number / 10) for number, one in enumerate(chunks)))
        reranker = ByLength()
        searcher = Searcher(HashingEmbedder(), Bm25Encoder(), SearchSettings(rerank_candidates=2), reranker)
        found = searcher.search([shelf], "a question", Scope("w1"), 2)  # type: ignore[list-item]
        assert order(found.passages) == ["b", "a"]
        assert [one.rerank_score for one in found.passages] == [-7.0, -19.0]
        assert len(reranker.read) == 2
        assert "rerank" in found.timings_ms

    def test_an_expanded_question_is_searched_for_a_second_time(self) -> None:
        shelf = Shelf(scored(a=0.9, b=0.5))
        settings = SearchSettings(expansion=ExpansionSettings(passages=2))
        searcher = Searcher(HashingEmbedder(), Bm25Encoder(), settings)
        found = searcher.search([shelf], "a question", Scope("w1"), 2)  # type: ignore[list-item]
        assert order(found.passages) == ["a", "b"]
        assert shelf.asked == 2
        assert "expand" in found.timings_ms
