"""What every adapter of VectorIndex does. Runs on Qdrant Edge, on qdrant-client's local mode, and on a Qdrant server
where TANDEM_TEST_QDRANT_URL names one."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from qdrant_client import QdrantClient, models

from retrieval.documents.chunking import chunk_id
from retrieval.embedding.embedder import Bm25Encoder
from retrieval.errors import EmbedderMismatch, UnknownCollection
from retrieval.filters import parse_filter
from retrieval.index.edge import EdgeEngine
from retrieval.index.port import CollectionRef, IndexEngine, Scope, VectorIndex
from retrieval.index.remote import RemoteEngine
from retrieval.model import Attributes, Chunk, FileRef, Point, SparseVector
from tests.fakes import HashingEmbedder

EMBEDDER = HashingEmbedder()
BM25 = Bm25Encoder()
EVERYTHING = Scope("w1")
SERVER = os.environ.get("TANDEM_TEST_QDRANT_URL", "")


ATTRIBUTES: Attributes = {"team": "sales", "year": 2026.0, "draft": False}


def make_point(
    text: str,
    file_id: str = "f1",
    revision: int = 1,
    position: int = 0,
    workspace: str = "w1",
    attributes: Attributes = ATTRIBUTES,
) -> Point:
    source = FileRef(workspace, "s1", file_id, revision, attributes)
    made = Chunk(
        id=chunk_id(source, position),
        source=source,
        position=position,
        text=text,
        filename=f"{file_id}.md",
        title="Title",
        headings=("Title", "Part"),
        page=3,
        start=10,
        end=10 + len(text),
        url="https://example.org/a",
    )
    return Point(made, EMBEDDER.embed_query(text), BM25.document(text))


def found(index: VectorIndex, query: str, scope: Scope = EVERYTHING, limit: int = 10) -> tuple[list[str], list[str]]:
    candidates = index.search(EMBEDDER.embed_query(query), BM25.query(query), limit, scope)
    return [one.chunk.text for one in candidates.dense], [one.chunk.text for one in candidates.sparse]


@pytest.fixture(params=["edge", "local", "server"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[IndexEngine]:
    if request.param == "server" and not SERVER:
        pytest.skip("no Qdrant server: set TANDEM_TEST_QDRANT_URL")
    made: IndexEngine
    if request.param == "edge":
        made = EdgeEngine(tmp_path)
    elif request.param == "local":
        made = RemoteEngine(QdrantClient(location=":memory:"))
    else:
        made = RemoteEngine.at(SERVER)
    yield made
    made.close()


@pytest.fixture
def ref(engine: IndexEngine) -> Iterator[CollectionRef]:
    made = CollectionRef("w1", "s1", f"col_{uuid.uuid4().hex}")
    yield made
    engine.drop(made)


@pytest.fixture
def index(engine: IndexEngine, ref: CollectionRef) -> Iterator[VectorIndex]:
    made = engine.create(ref, EMBEDDER.dimension)
    yield made
    made.close()


class TestVectorIndex:
    def test_a_new_collection_is_empty_and_finds_nothing(self, index: VectorIndex) -> None:
        assert index.count() == 0
        assert found(index, "anything") == ([], [])
        assert index.revisions() == {}

    def test_a_point_is_found_by_both_stages_as_soon_as_it_is_written(self, index: VectorIndex) -> None:
        index.upsert([make_point("refunds take five days"), make_point("the office is in Oversley", "f2")])
        dense, sparse = found(index, "refund days")
        assert dense[0] == "refunds take five days"
        assert sparse == ["refunds take five days"]

    def test_a_chunk_comes_back_as_it_went_in(self, index: VectorIndex) -> None:
        point = make_point("tyre pressure is 3.8 bar")
        index.upsert([point])
        candidates = index.search(point.dense, point.sparse, 1, EVERYTHING)
        assert candidates.dense[0].chunk == point.chunk
        assert candidates.dense[0].score == pytest.approx(1.0, abs=1e-3)
        assert [one.chunk.id for one in index.scroll()] == [point.chunk.id]

    def test_points_come_by_id_in_the_order_asked_for_and_unknown_ids_are_left_out(self, index: VectorIndex) -> None:
        first, second = make_point("one"), make_point("two", position=1)
        index.upsert([first, second])
        missing = chunk_id(first.chunk.source, 9)
        read = index.points([second.chunk.id, missing, first.chunk.id])
        assert [one.chunk for one in read] == [second.chunk, first.chunk]
        assert read[0].dense == pytest.approx(second.dense, abs=1e-5)
        assert set(read[0].sparse.indices) == set(second.sparse.indices)
        assert index.points([]) == []

    def test_given_chunks_are_scored_as_the_stages_would(self, index: VectorIndex) -> None:
        points = [make_point("refunds take five days"), make_point("tyres", position=1)]
        index.upsert(points)
        question, ids = "refund days", [point.chunk.id for point in points]
        dense, sparse = EMBEDDER.embed_query(question), BM25.query(question)
        listed = index.search(dense, sparse, 10, EVERYTHING)
        scores = index.scores(dense, ids, sparse, ids)
        assert scores.dense == pytest.approx({one.chunk.id: one.score for one in listed.dense}, abs=1e-5)
        assert scores.sparse == pytest.approx({one.chunk.id: one.score for one in listed.sparse}, abs=1e-5)
        assert index.scores(dense, [], SparseVector((), ()), ids).sparse == {}

    def test_stages_that_are_timed_are_timed_apart(self, index: VectorIndex) -> None:
        index.upsert([make_point("one")])
        timings = index.search(EMBEDDER.embed_query("one"), BM25.query("one"), 1, EVERYTHING).timings_ms
        assert set(timings) in (set(), {"dense", "sparse"})
        assert all(spent >= 0 for spent in timings.values())

    def test_scroll_returns_both_vectors(self, index: VectorIndex) -> None:
        point = make_point("tyre pressure is 3.8 bar")
        index.upsert([point])
        read = next(iter(index.scroll()))
        assert read.dense == pytest.approx(point.dense, abs=1e-5)
        assert dict(zip(read.sparse.indices, read.sparse.values, strict=True)) == pytest.approx(
            dict(zip(point.sparse.indices, point.sparse.values, strict=True)), abs=1e-5
        )

    def test_writing_the_same_points_twice_changes_nothing(self, index: VectorIndex) -> None:
        points = [make_point(f"sentence number {at}", position=at) for at in range(3)]
        index.upsert(points)
        index.upsert(points)
        assert index.count() == 3

    def test_a_call_may_bring_more_points_than_the_engine_takes_at_once(self, index: VectorIndex) -> None:
        index.upsert([make_point(f"sentence number {at}", position=at) for at in range(600)])
        assert index.count() == 600
        assert len(list(index.scroll())) == 600
        assert index.verify() == 600

    def test_deleting_a_file_leaves_the_others(self, index: VectorIndex) -> None:
        index.upsert([make_point("one"), make_point("one", revision=2), make_point("two", "f2")])
        index.delete_file("f1")
        assert index.revisions() == {("f2", 1): 1}

    def test_deleting_a_revision_leaves_the_others(self, index: VectorIndex) -> None:
        index.upsert([make_point("one"), make_point("one", revision=2), make_point("two", "f2")])
        index.delete_revision("f1", 2)
        assert index.revisions() == {("f1", 1): 1, ("f2", 1): 1}

    def test_deleting_other_revisions_keeps_the_one_named(self, index: VectorIndex) -> None:
        index.upsert([make_point("old"), make_point("new", revision=2), make_point("two", "f2")])
        index.delete_other_revisions("f1", 2)
        assert index.revisions() == {("f1", 2): 1, ("f2", 1): 1}
        assert "old" not in found(index, "old")[0]

    def test_files_and_revisions_are_counted(self, index: VectorIndex) -> None:
        index.upsert([make_point("a", position=0), make_point("b", position=1), make_point("c", revision=2)])
        assert index.count_file("f1") == 3
        assert index.count_file("f1", 1) == 2
        assert index.count_file("f9") == 0

    def test_another_workspace_is_never_found(self, index: VectorIndex) -> None:
        index.upsert([make_point("shared words", workspace="w2"), make_point("shared words too", "f2")])
        assert found(index, "shared words") == (["shared words too"], ["shared words too"])

    def test_a_search_can_be_held_to_some_files(self, index: VectorIndex) -> None:
        index.upsert([make_point("shared words"), make_point("shared words too", "f2")])
        assert found(index, "shared words", Scope("w1", frozenset({"f2"})))[0] == ["shared words too"]
        assert found(index, "shared words", Scope("w1", frozenset())) == ([], [])

    def test_scroll_can_be_held_to_one_revision(self, index: VectorIndex) -> None:
        index.upsert([make_point("old"), make_point("new", revision=2), make_point("two", "f2")])
        assert [point.chunk.text for point in index.scroll("f1", 2)] == ["new"]

    def test_a_query_of_stop_words_finds_nothing_in_the_sparse_stage(self, index: VectorIndex) -> None:
        index.upsert([make_point("the of and")])
        assert index.search(EMBEDDER.embed_query("the of"), SparseVector((), ()), 5, EVERYTHING).sparse == ()

    def test_rare_words_weigh_more_than_common_ones(self, index: VectorIndex) -> None:
        index.upsert([make_point(f"bicycle manual {at}", position=at) for at in range(20)])
        index.upsert([make_point("torque manual", "f2"), make_point("bicycle handbook", "f3")])
        assert found(index, "bicycle torque")[1][0] == "torque manual"

    def test_a_vector_of_the_wrong_length_is_refused_and_nothing_is_written(self, index: VectorIndex) -> None:
        good = make_point("good")
        with pytest.raises(EmbedderMismatch, match="64"):
            index.upsert([good, Point(make_point("bad", "f2").chunk, (1.0, 0.0), good.sparse)])
        assert index.count() == 0

    def test_a_collection_that_is_not_there_cannot_be_opened(self, engine: IndexEngine) -> None:
        missing = CollectionRef("w1", "s1", "col_missing")
        assert not engine.exists(missing)
        with pytest.raises(UnknownCollection, match="col_missing"):
            engine.open(missing)

    def test_a_collection_can_be_closed_and_opened_again(self, engine: IndexEngine, ref: CollectionRef) -> None:
        first = engine.create(ref, EMBEDDER.dimension)
        first.upsert([make_point("kept")])
        first.close()
        again = engine.open(ref)
        assert found(again, "kept") == (["kept"], ["kept"])
        again.close()

    def test_the_collections_of_a_store_are_listed(self, engine: IndexEngine, ref: CollectionRef) -> None:
        assert ref not in engine.collections(ref.workspace_id, ref.store_id)
        engine.create(ref, EMBEDDER.dimension).close()
        assert ref in engine.collections(ref.workspace_id, ref.store_id)
        assert engine.collections(ref.workspace_id, "another") == []

    def test_a_dropped_collection_is_gone(self, engine: IndexEngine, ref: CollectionRef) -> None:
        engine.create(ref, EMBEDDER.dimension).close()
        engine.drop(ref)
        engine.drop(ref)
        assert not engine.exists(ref)


ODD = 'a "quoted" key.with[0] \\ \u00e9\U0001f6b2 '
SHELF: dict[str, Attributes] = {
    "none": {},
    "sales": {"team": "sales", "year": 2025, "draft": True},
    "legal": {"team": "legal", "year": 2026.5, "draft": False, ODD: "x"},
    "text": {"team": "Sales", "year": "2025", "draft": "true", "size": -0.0},
    "number": {"team": 1, "draft": 1.0, "size": 3, ODD: 7},
}


def eq(key: str, value: object) -> dict[str, object]:
    return compare("eq", key, value)


def compare(operator: str, key: str, value: object) -> dict[str, object]:
    return {"type": operator, "key": key, "value": value}


ALL = set(SHELF)
FILTERS: list[tuple[dict[str, object], set[str]]] = [
    (eq("team", "sales"), {"sales"}),
    (eq("team", 1), {"number"}),
    (eq("year", 2025), {"sales"}),
    (eq("year", "2025"), {"text"}),
    (eq("draft", True), {"sales"}),
    (eq("draft", False), {"legal"}),
    (eq("draft", 1), {"number"}),
    (eq("size", 0), {"text"}),
    (eq("nobody has this", "x"), set()),
    (eq(ODD, "x"), {"legal"}),
    (compare("ne", "team", "sales"), ALL - {"sales"}),
    (compare("ne", "draft", True), ALL - {"sales"}),
    (compare("ne", "nobody has this", 1), ALL),
    (compare("gt", "year", 2025), {"legal"}),
    (compare("gte", "year", 2025), {"sales", "legal"}),
    (compare("lt", "year", 2026.5), {"sales"}),
    (compare("lte", "year", 2026.5), {"sales", "legal"}),
    (compare("gte", "draft", 0), {"number"}),
    (compare("gt", ODD, 6.5), {"number"}),
    (compare("lt", "nobody has this", 1), set()),
    (compare("in", "team", ["sales", "legal", 1]), {"sales", "legal", "number"}),
    (compare("in", "team", []), set()),
    (compare("nin", "team", ["sales", "legal"]), {"none", "text", "number"}),
    (compare("nin", "team", []), ALL),
    ({"type": "and", "filters": [eq("team", "sales"), compare("lt", "year", 2026)]}, {"sales"}),
    ({"type": "and", "filters": [eq("team", "sales"), eq("team", "legal")]}, set()),
    ({"type": "or", "filters": [eq("team", "sales"), eq(ODD, 7), eq("nobody has this", 0)]}, {"sales", "number"}),
    (
        {
            "type": "and",
            "filters": [
                {"type": "or", "filters": [eq("team", "sales"), eq("team", "legal")]},
                {"type": "or", "filters": [compare("ne", "draft", True), compare("gt", "year", 3000)]},
            ],
        },
        {"legal"},
    ),
]


class TestAttributeFilters:
    @pytest.mark.parametrize(
        ("wanted", "expected"), FILTERS, ids=lambda value: str(sorted(value) if isinstance(value, set) else value)
    )
    def test_a_filter_holds_both_stages_to_the_files_that_it_means(
        self, index: VectorIndex, wanted: dict[str, object], expected: set[str]
    ) -> None:
        index.upsert([make_point(f"words of {name}", name, attributes=has) for name, has in SHELF.items()])
        dense, sparse = found(index, "words", Scope("w1", attributes=parse_filter(wanted)))
        assert set(dense) == set(sparse) == {f"words of {name}" for name in expected}

    def test_a_filter_and_named_files_must_both_hold(self, index: VectorIndex) -> None:
        index.upsert([make_point("one"), make_point("two", "f2"), make_point("three", "f3", attributes={})])
        scope = Scope("w1", frozenset({"f2", "f3"}), parse_filter(eq("team", "sales")))
        assert found(index, "one two three", scope)[0] == ["two"]

    def test_a_filter_never_reaches_into_another_workspace(self, index: VectorIndex) -> None:
        index.upsert([make_point("theirs", workspace="w2"), make_point("ours", "f2")])
        either = {"type": "or", "filters": [eq("team", "sales"), compare("ne", "team", "sales")]}
        assert found(index, "theirs ours", Scope("w1", attributes=parse_filter(either)))[0] == ["ours"]

    def test_new_attributes_replace_the_former_ones_and_leave_text_and_vectors(self, index: VectorIndex) -> None:
        point = make_point("tyre pressure is 3.8 bar")
        index.upsert([point, make_point("other", "f2")])
        index.set_attributes("f1", {"season": "winter", "year": 2027})
        assert found(index, "tyre", Scope("w1", attributes=parse_filter(eq("team", "sales"))))[0] == ["other"]
        later = Scope("w1", attributes=parse_filter(compare("gt", "year", 2026)))
        candidates = index.search(point.dense, point.sparse, 5, later)
        assert [one.chunk.text for one in candidates.dense] == ["tyre pressure is 3.8 bar"]
        assert candidates.dense[0].chunk.source.attributes == {"season": "winter", "year": 2027}
        assert candidates.dense[0].score == pytest.approx(1.0, abs=1e-3)
        index.set_attributes("f1", {})
        assert found(index, "tyre", later) == ([], [])

    def test_attributes_of_a_file_that_is_not_there_change_nothing(self, index: VectorIndex) -> None:
        index.upsert([make_point("one")])
        index.set_attributes("f9", {"team": "legal"})
        assert [one.chunk.source.attributes for one in index.scroll()] == [ATTRIBUTES]

    def test_filters_still_hold_after_the_collection_was_closed(self, engine: IndexEngine, ref: CollectionRef) -> None:
        first = engine.create(ref, EMBEDDER.dimension)
        first.upsert([make_point(f"words of {name}", name, attributes=has) for name, has in SHELF.items()])
        first.close()
        again = engine.open(ref)
        scope = Scope("w1", attributes=parse_filter(compare("gt", "year", 2025)))
        assert found(again, "words", scope)[0] == ["words of legal"]
        again.close()


def test_the_server_is_asked_with_the_width_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    client = QdrantClient(location=":memory:")
    ask, asked = client.query_batch_points, []

    def spied(name: str, requests: list[models.QueryRequest]) -> list[models.QueryResponse]:
        asked.extend(requests)
        return ask(name, requests)

    monkeypatch.setattr(client, "query_batch_points", spied)
    index = RemoteEngine(client, search_width=300).create(CollectionRef("w1", "s1", "c1"), EMBEDDER.dimension)
    found(index, "anything")
    assert [request.params.hnsw_ef for request in asked if request.params] == [300, 300]
