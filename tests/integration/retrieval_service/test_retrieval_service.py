"""The retrieval service over a real Edge index, a real embedder and a real database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from retrieval.embedding.embedder import Bm25Encoder, SentenceTransformerEmbedder
from retrieval.index.collection_builder import BuildSpec, build
from retrieval.index.ingest import prepare
from retrieval.index.records import write_points
from retrieval.model import FileRef, Point
from services.contracts.convert import point_body
from services.contracts.retrieval import (
    CollectionsResponse,
    DeleteRequest,
    DropCollectionRequest,
    DropStoreRequest,
    SearchRequest,
    SearchResponse,
    SwitchRequest,
    SwitchResponse,
    UpsertRequest,
)
from services.database.engine import Sessions, migrate, open_sessions
from services.database.tables import Collection, File, Store, StoreFile, Workspace, now
from services.kit.settings import Platform
from services.retrieval.app import create_app
from services.retrieval.settings import RetrievalSettings

TOKEN = "a-service-token"
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
BM25 = Bm25Encoder()
REFUNDS = b"# Refund policy\n\nRefunds are paid within five working days of the returned bike's arrival.\n"
TYRES = b"# Tyres\n\nThe tyre pressure of the Brindle City is 3.8 bar.\n\n## Winter\n\nIn winter ride with 3.2 bar.\n"


@pytest.fixture(scope="module")
def embedder() -> SentenceTransformerEmbedder:
    return SentenceTransformerEmbedder("all-minilm-l6-v2", threads=1)


@dataclass
class Desk:
    """The service, and the database as gateway and worker would leave it."""

    client: TestClient
    sessions: Sessions
    embedder: SentenceTransformerEmbedder
    platform: Platform

    def want(self, file_id: str, revision: int = 1, *, store_id: str = "s1", deleted: bool = False) -> None:
        with self.sessions.begin() as session:
            if session.get(File, file_id) is None:
                session.add(
                    File(
                        id=file_id,
                        workspace_id="w1",
                        filename=file_id,
                        purpose="assistants",
                        bytes=1,
                        sha256="",
                        path="",
                    )
                )
                session.flush()
            row = StoreFile(
                store_id=store_id, file_id=file_id, workspace_id="w1", revision=revision, status="in_progress"
            )
            row.deleted = deleted
            session.merge(row)

    def points(self, data: bytes, file_id: str, revision: int = 1, store_id: str = "s1") -> list[Point]:
        source = FileRef("w1", store_id, file_id, revision)
        return prepare(data, file_id, source, self.embedder, BM25)

    def send(self, points: list[Point], *, last: bool = True, **changes: object) -> tuple[int, dict[str, object]]:
        source = points[0].chunk.source
        request = UpsertRequest(
            workspace_id=source.workspace_id,
            store_id=source.store_id,
            file_id=source.file_id,
            revision=source.revision,
            embedder=self.embedder.name,
            points=[point_body(point) for point in points],
            last=last,
        ).model_copy(update=changes)
        return self.post("/points", request.model_dump_json())

    def begin(self, collection_id: str) -> None:
        """A reindexing job's first step."""
        row = Collection(id=collection_id, workspace_id="w1", store_id="s1", state="building", settings={},
                         embedder=self.embedder.name, dimension=self.embedder.dimension)  # fmt: skip
        with self.sessions.begin() as session:
            session.add(row)

    def index(self, data: bytes, file_id: str, revision: int = 1) -> int:
        self.want(file_id, revision)
        status, answer = self.send(self.points(data, file_id, revision))
        assert status == 200, answer
        return int(str(answer["count"]))

    def search(self, query: str, **more: object) -> SearchResponse:
        request = SearchRequest.model_validate({"workspace_id": "w1", "store_ids": ["s1"], "query": query, **more})
        response = self.client.post("/search", content=request.model_dump_json())
        assert response.status_code == 200, response.text
        return SearchResponse.model_validate_json(response.content)

    def texts(self, query: str, **more: object) -> list[str]:
        return [passage.chunk.text for passage in self.search(query, **more).passages]

    def post(self, path: str, content: str) -> tuple[int, dict[str, object]]:
        response = self.client.post(path, content=content)
        return response.status_code, response.json()

    def collections(self) -> CollectionsResponse:
        return CollectionsResponse.model_validate_json(self.client.get("/collections/w1/s1").content)


def make_sessions(platform: Platform) -> Sessions:
    migrate(platform.database_url)
    sessions = open_sessions(platform.database_url)
    with sessions.begin() as session:
        session.add_all([Workspace(id="w1", name="One"), Workspace(id="w2", name="Two")])
        session.flush()
        session.add_all(
            [Store(id="s1", workspace_id="w1", name="Docs"), Store(id="s2", workspace_id="w2", name="Docs")]
        )
    return sessions


@pytest.fixture
def desk(tmp_path: Path, embedder: SentenceTransformerEmbedder) -> Iterator[Desk]:
    platform = Platform(home=tmp_path / "home", service_token=TOKEN)
    sessions = make_sessions(platform)
    app = create_app(platform, RetrievalSettings(), embedder=embedder, sessions=sessions)
    with TestClient(app, headers=HEADERS) as client:
        yield Desk(client, sessions, embedder, platform)


def test_an_indexed_file_is_found_with_its_ranks_and_times(desk: Desk) -> None:
    assert desk.index(TYRES, "tyres.md") == 2
    found = desk.search("What tyre pressure in winter?")
    best = found.passages[0]
    assert best.chunk.text == "In winter ride with 3.2 bar."
    assert best.chunk.headings == ["Tyres", "Winter"]
    assert (best.dense_rank, best.sparse_rank) == (1, 1)
    assert set(found.timings_ms) == {"embed", "search", "dense", "sparse", "complete", "fuse", "select", "total"}
    assert found.collections == {"s1": desk.collections().live_id}


def test_a_store_without_files_has_no_passages(desk: Desk) -> None:
    found = desk.search("anything")
    assert (found.passages, found.collections) == ([], {})


def test_the_same_file_twice_changes_nothing(desk: Desk) -> None:
    assert desk.index(TYRES, "tyres.md") == 2
    assert desk.index(TYRES, "tyres.md") == 2
    assert desk.collections().count == 2


def test_a_changed_file_replaces_its_chunks(desk: Desk) -> None:
    desk.index(REFUNDS, "refunds.md")
    desk.index(REFUNDS.replace(b"five", b"nine"), "refunds.md", 2)
    assert desk.collections().count == 1
    assert "nine" in desk.texts("When are refunds paid?")[0]


def test_a_revision_in_parts_replaces_the_old_one_with_its_last_part(desk: Desk) -> None:
    desk.index(TYRES, "tyres.md")
    desk.want("tyres.md", 2)
    first, second = desk.points(TYRES, "tyres.md", 2)
    desk.send([first], last=False)
    assert desk.collections().count == 3
    assert desk.send([second])[1] == {"count": 2}
    assert desk.collections().count == 2


def test_a_deleted_file_is_gone_at_once_and_a_late_write_is_refused(desk: Desk) -> None:
    desk.index(REFUNDS, "refunds.md")
    desk.index(TYRES, "tyres.md")
    late = desk.points(REFUNDS, "refunds.md")
    desk.want("refunds.md", 2, deleted=True)
    assert not any("Refunds" in text for text in desk.texts("When are refunds paid?"))
    request = DeleteRequest(workspace_id="w1", store_id="s1", file_id="refunds.md")
    assert desk.post("/points/delete", request.model_dump_json())[0] == 200
    status, answer = desk.send(late)
    assert status == 409
    assert answer["error"]["code"] == "stale_revision"  # type: ignore[index]
    assert desk.collections().count == 2
    assert b"stale_writes_total 1.0" in desk.client.get("/metrics").content


def test_chunks_of_a_deleted_file_take_no_place_from_others(desk: Desk) -> None:
    long = b"# Tyres\n\n" + b"".join(
        b"## Part %d\n\nTyre pressure of part %d is %d bar.\n\n" % (n, n, n) for n in range(60)
    )
    desk.index(long, "long.md")
    desk.index(b"# Tyres\n\nRubber ages, and a tyre is changed after six years.", "short.md")
    desk.want("long.md", 2, deleted=True)
    assert desk.texts("tyre pressure") == ["Rubber ages, and a tyre is changed after six years."]


def test_a_file_whose_row_is_deleted_for_good_is_hidden_too(desk: Desk) -> None:
    desk.index(REFUNDS, "refunds.md")
    with desk.sessions.begin() as session:
        session.get_one(File, "refunds.md").deleted_at = now()
    assert desk.texts("refunds") == []


def test_a_search_can_be_held_to_some_files(desk: Desk) -> None:
    desk.index(REFUNDS, "refunds.md")
    desk.index(TYRES, "tyres.md")
    found = desk.search("refund", file_ids=["tyres.md"])
    assert {passage.chunk.file_id for passage in found.passages} == {"tyres.md"}


def test_a_follow_up_is_searched_with_its_context(desk: Desk) -> None:
    desk.index(TYRES, "tyres.md")
    found = desk.search("And in winter?", history=["What is the tyre pressure of the Brindle City?"])
    assert found.query == "What is the tyre pressure of the Brindle City? And in winter?"


def test_another_workspaces_store_is_unknown(desk: Desk) -> None:
    body = SearchRequest(workspace_id="w1", store_ids=["s2"], query="refunds")
    status, answer = desk.post("/search", body.model_dump_json())
    assert status == 404
    assert "s2" in str(answer["error"])


def test_points_that_name_another_file_are_refused(desk: Desk) -> None:
    desk.want("a.md")
    desk.want("b.md")
    status, answer = desk.send(desk.points(REFUNDS, "a.md"), file_id="b.md")
    assert (status, answer["error"]["code"]) == (400, "invalid_input")  # type: ignore[index]


def test_another_embedder_is_refused_in_words(desk: Desk) -> None:
    desk.want("a.md")
    status, answer = desk.send(desk.points(REFUNDS, "a.md"), embedder="another-model")
    assert status == 400
    assert "another-model" in str(answer["error"])
    assert "all-minilm-l6-v2" in str(answer["error"])


def test_a_collection_of_another_embedder_is_refused_in_words(desk: Desk) -> None:
    desk.index(REFUNDS, "refunds.md")
    with desk.sessions.begin() as session:
        for row in session.query(Collection):
            row.embedder = "older-model"
    body = SearchRequest(workspace_id="w1", store_ids=["s1"], query="refunds")
    status, answer = desk.post("/search", body.model_dump_json())
    assert status == 400
    assert "reindex" in str(answer["error"])


def test_embeddings_are_the_embedders(desk: Desk) -> None:
    status, answer = desk.post("/embeddings", '{"texts": ["hello world"]}')
    assert status == 200
    assert answer["vectors"] == [pytest.approx(desk.embedder.embed_query("hello world"), abs=1e-6)]
    assert answer["tokens"] == 2


@pytest.mark.parametrize(
    "path",
    ["/search", "/points", "/points/delete", "/embeddings", "/collections/switch", "/collections/drop", "/stores/drop"],
)
def test_no_route_answers_without_the_service_token(desk: Desk, path: str) -> None:
    assert desk.client.post(path, content="{}", headers={"Authorization": ""}).status_code == 401
    assert desk.client.post(path, content="{}", headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_a_question_that_would_hold_the_processor_up_is_refused(desk: Desk) -> None:
    body = {"workspace_id": "w1", "store_ids": ["s1"], "query": "refund " * 20_000}
    response = desk.client.post("/search", json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "query")


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
def test_probes_need_no_token(desk: Desk, path: str) -> None:
    assert desk.client.get(path, headers={"Authorization": ""}).status_code == 200


def test_the_index_is_still_there_after_a_restart(tmp_path: Path, embedder: SentenceTransformerEmbedder) -> None:
    platform = Platform(home=tmp_path / "home", service_token=TOKEN)
    sessions = make_sessions(platform)
    for start in range(2):
        app = create_app(platform, RetrievalSettings(), embedder=embedder, sessions=sessions)
        with TestClient(app, headers=HEADERS) as client:
            desk = Desk(client, sessions, embedder, platform)
            if start == 0:
                desk.index(REFUNDS, "refunds.md")
            assert len(desk.texts("refunds")) == 1


class TestSwitch:
    def rebuild(self, desk: Desk, tmp_path: Path, points: list[Point], name: str = "col_new") -> SwitchRequest:
        """What a builder process does, in this one."""
        desk.begin(name)
        path = tmp_path / f"{name}.jsonl"
        write_points(path, points)
        spec = BuildSpec(
            folder=str(desk.platform.index_folder / "w1" / "s1" / name),
            points=str(path),
            dimension=desk.embedder.dimension,
        )
        count = build(spec)
        return SwitchRequest(workspace_id="w1", store_id="s1", collection_id=name, expected_count=count)

    def switch(self, desk: Desk, request: SwitchRequest) -> SwitchResponse:
        response = desk.client.post("/collections/switch", content=request.model_dump_json())
        assert response.status_code == 200, response.text
        return SwitchResponse.model_validate_json(response.content)

    def test_a_finished_build_takes_over_and_the_old_one_is_kept(self, desk: Desk, tmp_path: Path) -> None:
        desk.index(REFUNDS, "refunds.md")
        old = desk.collections().live_id
        switched = self.switch(desk, self.rebuild(desk, tmp_path, desk.points(REFUNDS, "refunds.md")))
        assert (switched.collection_id, switched.previous_id) == ("col_new", old)
        assert (switched.count, switched.replayed) == (1, 0)
        after = desk.collections()
        assert (after.live_id, after.previous_id) == ("col_new", old)
        assert {row.id: row.state for row in after.collections} == {"col_new": "live", old: "retired"}
        assert desk.search("refunds").collections == {"s1": "col_new"}

    def test_what_was_written_meanwhile_is_not_lost_and_what_was_deleted_stays_gone(
        self, desk: Desk, tmp_path: Path
    ) -> None:
        desk.index(REFUNDS, "refunds.md")
        desk.index(TYRES, "tyres.md")
        request = self.rebuild(desk, tmp_path, desk.points(REFUNDS, "refunds.md") + desk.points(TYRES, "tyres.md"))
        desk.want("tyres.md", 2, deleted=True)
        desk.index(REFUNDS.replace(b"five", b"nine"), "refunds.md", 2)
        desk.index(b"# Locks\n\nA lock weighs 2 kg.", "locks.md")
        switched = self.switch(desk, request)
        assert (switched.count, switched.replayed) == (2, 2)
        assert "nine" in desk.texts("refunds")[0]
        assert "A lock weighs 2 kg." in desk.texts("How heavy is a lock?")

    def test_a_build_with_a_wrong_count_is_refused_and_the_live_one_stays(self, desk: Desk, tmp_path: Path) -> None:
        desk.index(REFUNDS, "refunds.md")
        old = desk.collections().live_id
        request = self.rebuild(desk, tmp_path, desk.points(REFUNDS, "refunds.md"))
        wrong = request.model_copy(update={"expected_count": 7})
        status, answer = desk.post("/collections/switch", wrong.model_dump_json())
        assert status == 503
        assert "7" in str(answer["error"])
        assert desk.collections().live_id == old
        assert [row.id for row in desk.collections().collections] == [old]
        assert [path.name for path in (desk.platform.index_folder / "w1" / "s1").iterdir()] == [old]

    def test_asked_twice_it_changes_nothing_the_second_time(self, desk: Desk, tmp_path: Path) -> None:
        desk.index(REFUNDS, "refunds.md")
        old = desk.collections().live_id
        request = self.rebuild(desk, tmp_path, desk.points(REFUNDS, "refunds.md"))
        self.switch(desk, request)
        desk.index(TYRES, "tyres.md")
        again = self.switch(desk, request)
        assert (again.collection_id, again.previous_id, again.count) == ("col_new", old, 3)
        assert desk.texts("When are refunds paid?")

    def test_a_build_that_is_not_there_is_unknown(self, desk: Desk) -> None:
        request = SwitchRequest(workspace_id="w1", store_id="s1", collection_id="col_none", expected_count=0)
        assert desk.post("/collections/switch", request.model_dump_json())[0] == 404
        assert desk.collections().collections == []

    def test_the_third_build_lets_the_first_one_go(self, desk: Desk, tmp_path: Path) -> None:
        desk.index(REFUNDS, "refunds.md")
        first = desk.collections().live_id
        for name in ("col_b", "col_c"):
            self.switch(desk, self.rebuild(desk, tmp_path, desk.points(REFUNDS, "refunds.md"), name))
        folder = desk.platform.index_folder / "w1" / "s1"
        assert {path.name for path in folder.iterdir()} == {"col_b", "col_c"}
        assert first not in {row.id for row in desk.collections().collections}

    def test_a_build_can_be_filled_through_the_service(self, desk: Desk) -> None:
        desk.index(REFUNDS, "refunds.md")
        desk.begin("col_new")
        desk.send(desk.points(REFUNDS, "refunds.md"), collection_id="col_new")
        assert desk.collections().live_id != "col_new"
        request = SwitchRequest(workspace_id="w1", store_id="s1", collection_id="col_new", expected_count=1)
        assert self.switch(desk, request).count == 1

    def test_a_refused_part_takes_the_earlier_parts_out_of_the_build(self, desk: Desk) -> None:
        desk.index(TYRES, "tyres.md")
        desk.begin("col_new")
        first, second = desk.points(TYRES, "tyres.md")
        assert desk.send([first], last=False, collection_id="col_new") == (200, {"count": 1})
        desk.want("tyres.md", 2)
        assert desk.send([second], collection_id="col_new")[0] == 409
        request = SwitchRequest(workspace_id="w1", store_id="s1", collection_id="col_new", expected_count=0)
        assert self.switch(desk, request).count == 0

    def test_only_a_build_is_written_to_by_its_name(self, desk: Desk) -> None:
        desk.index(REFUNDS, "refunds.md")
        for name in (str(desk.collections().live_id), "col_none"):
            status, answer = desk.send(desk.points(REFUNDS, "refunds.md"), collection_id=name)
            assert status == 404
            assert name in str(answer["error"])
        assert len(desk.collections().collections) == 1

    def test_a_build_is_dropped_and_the_live_one_is_not(self, desk: Desk, tmp_path: Path) -> None:
        desk.index(REFUNDS, "refunds.md")
        live = str(desk.collections().live_id)
        self.rebuild(desk, tmp_path, desk.points(REFUNDS, "refunds.md"))
        for name in ("col_new", live, "col_none"):
            request = DropCollectionRequest(workspace_id="w1", store_id="s1", collection_id=name)
            assert desk.post("/collections/drop", request.model_dump_json())[0] == 200
        assert [row.id for row in desk.collections().collections] == [live]
        assert [path.name for path in (desk.platform.index_folder / "w1" / "s1").iterdir()] == [live]
        assert desk.texts("refunds")

    def test_a_dropped_store_leaves_nothing_behind(self, desk: Desk, tmp_path: Path) -> None:
        desk.index(REFUNDS, "refunds.md")
        self.switch(desk, self.rebuild(desk, tmp_path, desk.points(REFUNDS, "refunds.md")))
        request = DropStoreRequest(workspace_id="w1", store_id="s1")
        assert desk.post("/stores/drop", request.model_dump_json())[0] == 200
        assert list((desk.platform.index_folder / "w1" / "s1").iterdir()) == []


def test_a_second_service_on_the_same_index_is_refused_in_words(desk: Desk) -> None:
    desk.index(REFUNDS, "refunds.md")
    live = desk.collections().live_id
    request = SearchRequest(workspace_id="w1", store_ids=["s1"], query="refunds")
    app = create_app(desk.platform, RetrievalSettings(), embedder=desk.embedder, sessions=desk.sessions)
    with TestClient(app, headers=HEADERS) as second:
        answer = second.post("/search", content=request.model_dump_json())
    assert answer.status_code == 503
    assert str(live) in answer.text
