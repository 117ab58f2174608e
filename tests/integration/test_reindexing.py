"""A worker's reindexing against the real retrieval service, its index embedded or on a Qdrant server (local mode)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from qdrant_client import QdrantClient
from starlette.testclient import TestClient

from retrieval.embedding import Bm25Encoder
from retrieval.index.edge import EdgeEngine
from retrieval.index.port import CollectionRef, IndexEngine
from retrieval.index.remote import RemoteEngine
from retrieval.model import Passage
from retrieval.parsing import Parser
from services.contracts.jobs import JobKind
from services.contracts.retrieval import CollectionsResponse, SearchRequest
from services.database.engine import Sessions, migrate, open_sessions
from services.database.jobs import Jobs, new_job
from services.database.tables import Collection, File, Job, Store, StoreFile, Workspace
from services.kit.settings import Platform
from services.retrieval.app import create_app
from services.retrieval.settings import RetrievalSettings
from services.worker.heartbeat import Heartbeat, JobCancelled
from services.worker.indexing import Indexing
from services.worker.reindexing import Reindexing
from services.worker.retrieval_client import RetrievalWriter
from services.worker.settings import WorkerSettings
from tests.fakes import HashingEmbedder

TOKEN = "a-service-token"
REFUNDS = "# Refunds\n\nRefunds are paid within five working days. " + "A returned bike is checked before that. " * 20
TYRES = "# Tyres\n\nThe tyre pressure of the Brindle City is 3.8 bar. " + "Tyres lose air in a month. " * 20


class InterruptedEmbedder(HashingEmbedder):
    """Something happens each time that it embeds a file."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], None] = lambda: None

    def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        self.meanwhile()
        return super().embed(texts)


def worker_client(app: TestClient) -> httpx.Client:
    """What a worker calls the service with; the test client is a client of another package."""

    def answer(request: httpx.Request) -> httpx.Response:
        content_type = {"Content-Type": "application/json"}
        got = app.request(request.method, request.url.path, content=request.content, headers=content_type)
        return httpx.Response(got.status_code, content=got.content)

    return httpx.Client(transport=httpx.MockTransport(answer), base_url="http://tandem")


@dataclass
class Desk:
    """The retrieval service, and a worker beside it."""

    engine: IndexEngine
    qdrant: QdrantClient
    sessions: Sessions
    writer: RetrievalWriter
    client: TestClient
    folder: Path
    platform: Platform

    def __post_init__(self) -> None:
        self.jobs, self.embedder = Jobs(self.sessions), InterruptedEmbedder()
        self.settings = WorkerSettings(points_per_request=2)

    def index(self, name: str, text: str, revision: int = 1) -> None:
        path = self.folder / f"{name}.{revision}"
        path.write_text(text)
        file = File(id=name, workspace_id="w1", filename=name, purpose="assistants", bytes=1, sha256="", path=str(path))
        row = StoreFile(store_id="s1", file_id=name, workspace_id="w1", revision=revision, status="in_progress")
        with self.sessions.begin() as session:
            session.merge(file)
            session.flush()
            session.merge(row)
        asked = {"store_id": "s1", "file_id": name, "revision": revision}
        self.run(self.indexing(HashingEmbedder()).index_file, "index_file", asked)

    def reindex(self, **changes: int) -> dict[str, Any]:
        reindexing = Reindexing(self.sessions, self.indexing(self.embedder), self.writer, self.platform.index_folder)
        return self.run(reindexing.reindex, "reindex", {"store_id": "s1", **changes})

    def run(
        self, work: Callable[[Job, Heartbeat], dict[str, Any]], kind: JobKind, asked: dict[str, Any]
    ) -> dict[str, Any]:
        job = new_job("w1", kind, asked, 60.0)
        with self.sessions.begin() as session:
            session.add(job)
        claimed = self.jobs.claim(job.id)
        assert claimed is not None
        with Heartbeat(self.jobs, claimed.id) as heartbeat:
            return work(claimed, heartbeat)

    def indexing(self, embedder: HashingEmbedder) -> Indexing:
        return Indexing(self.sessions, self.writer, embedder, Bm25Encoder(), Parser(), self.settings)

    def cancel(self) -> None:
        for job in self.jobs.list("w1", "reindex"):
            self.jobs.request_cancel("w1", job.id)

    def search(self, query: str) -> list[Passage]:
        return self.writer.search(SearchRequest(workspace_id="w1", store_ids=["s1"], query=query, top_k=50))

    def collections(self) -> CollectionsResponse:
        return CollectionsResponse.model_validate_json(self.client.get("/collections/w1/s1").content)

    def held(self) -> set[str]:
        """The ids of the collections that the engine has, asked of the engine."""
        if not self.engine.embedded:
            return {one.name.split(".")[-1] for one in self.qdrant.get_collections().collections}
        return {path.name for path in (self.platform.index_folder / "w1" / "s1").iterdir()}


@pytest.fixture(params=["embedded", "server"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    platform = Platform(home=tmp_path / "home", service_token=TOKEN)
    migrate(platform.database_url)
    sessions = open_sessions(platform.database_url)
    with sessions.begin() as session:
        session.add(Workspace(id="w1", name="One"))
        session.flush()
        session.add(Store(id="s1", workspace_id="w1", name="Docs"))
    embedded = request.param == "embedded"
    qdrant = QdrantClient(location=":memory:")
    engine = EdgeEngine(platform.index_folder) if embedded else RemoteEngine(qdrant)
    app = create_app(platform, RetrievalSettings(), embedder=HashingEmbedder(), engine=engine, sessions=sessions)
    with TestClient(app, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield Desk(engine, qdrant, sessions, RetrievalWriter(worker_client(client)), client, tmp_path, platform)


def test_other_chunk_sizes_make_other_chunks_of_the_same_files_and_the_old_collection_is_kept(desk: Desk) -> None:
    desk.index("refunds.md", REFUNDS)
    desk.index("tyres.md", TYRES)
    old, before = desk.collections(), desk.search("tyre pressure refunds")
    result = desk.reindex(chunk_size=32)
    new, after = desk.collections(), desk.search("tyre pressure refunds")
    assert (new.live_id, new.previous_id) == (result["collection_id"], old.live_id)
    assert desk.held() == {new.live_id, old.live_id}
    assert {one.chunk.source.file_id for one in after} == {one.chunk.source.file_id for one in before}
    assert {one.chunk.id for one in after} - {one.chunk.id for one in before}
    assert new.count == result["chunks"] > old.count
    assert max(len(one.chunk.text.split()) for one in after) <= 32
    assert "3.8 bar" in desk.search("tyre pressure of the Brindle City")[0].chunk.text


def test_a_file_that_changes_meanwhile_answers_as_it_is_now(desk: Desk) -> None:
    desk.index("refunds.md", REFUNDS)
    desk.index("tyres.md", TYRES)

    def change() -> None:
        desk.embedder.meanwhile = lambda: None
        desk.index("refunds.md", REFUNDS.replace("five", "nine"), revision=2)

    desk.embedder.meanwhile = change
    result = desk.reindex(chunk_size=32)
    assert result["replayed"] > 0
    assert desk.collections().live_id == result["collection_id"]
    assert "within nine working days" in desk.search("refunds paid working days")[0].chunk.text
    assert {one.chunk.source.revision for one in desk.search("refunds") if "refund" in one.chunk.filename} == {2}


def test_a_cancelled_job_leaves_the_live_collection_and_no_other(desk: Desk) -> None:
    desk.index("refunds.md", REFUNDS)
    desk.index("tyres.md", TYRES)
    held = desk.held()

    def cancel_at_the_second_file() -> None:
        desk.embedder.meanwhile = desk.cancel

    desk.embedder.meanwhile = cancel_at_the_second_file
    with pytest.raises(JobCancelled):
        desk.reindex(chunk_size=32)
    assert desk.held() == held == {row.id for row in desk.collections().collections}
    assert desk.search("tyre pressure")


def test_a_failed_job_leaves_the_live_collection_and_no_other(desk: Desk) -> None:
    desk.index("refunds.md", REFUNDS)
    desk.index("tyres.md", TYRES)
    held = desk.held()
    (desk.folder / "tyres.md.1").unlink()
    with pytest.raises(FileNotFoundError):
        desk.reindex(chunk_size=32)
    assert desk.held() == held == {row.id for row in desk.collections().collections}
    assert desk.search("tyre pressure")


def test_what_a_killed_worker_left_goes_with_the_next_reindexing(desk: Desk) -> None:
    desk.index("refunds.md", REFUNDS)
    left = CollectionRef("w1", "s1", "col_left")
    desk.engine.create(left, desk.embedder.dimension).close()
    row = Collection(id="col_left", workspace_id="w1", store_id="s1", state="building", settings={},
                     embedder=desk.embedder.name, dimension=desk.embedder.dimension)  # fmt: skip
    with desk.sessions.begin() as session:
        session.add(row)
    desk.reindex()
    assert "col_left" not in desk.held() | {row.id for row in desk.collections().collections}


def test_a_store_without_files_is_reindexed_to_an_empty_collection(desk: Desk) -> None:
    result = desk.reindex()
    assert desk.collections().live_id == result["collection_id"]
    assert desk.search("anything") == []
    desk.index("refunds.md", REFUNDS)
    assert desk.search("refunds")
