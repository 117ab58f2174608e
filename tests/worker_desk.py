"""The real retrieval service and a worker beside it in one process, for tests of indexing and reindexing."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from qdrant_client import QdrantClient
from starlette.testclient import TestClient

from retrieval.documents.parser import Parser
from retrieval.embedding.embedder import Embedder
from retrieval.index.edge import EdgeEngine
from retrieval.index.port import CollectionRef, IndexEngine
from retrieval.index.remote import RemoteEngine
from retrieval.model import Passage
from services.contracts.jobs import JobKind
from services.contracts.retrieval import CollectionsResponse, DeleteRequest, SearchRequest
from services.database.engine import Sessions, migrate, open_sessions
from services.database.tables import File, Job, Store, StoreFile, Turn, Workspace, now
from services.domain.jobs import Jobs, new_job
from services.kit.settings import Platform
from services.retrieval.app import create_app
from services.retrieval.parts import Parts
from services.retrieval.settings import RetrievalSettings
from services.worker.heartbeat import Heartbeat
from services.worker.indexing.indexing import Indexing
from services.worker.indexing.reconciling import Reconciling
from services.worker.reindexing.abandoned import AbandonedBuilds
from services.worker.reindexing.builders import BUILDER_COMMAND
from services.worker.reindexing.reindexing import Reindexing
from services.worker.retrieval_client import RetrievalWriter
from services.worker.settings import WorkerSettings
from tests.fakes import HashingEmbedder

TOKEN = "a-service-token"
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}


class InterruptedEmbedder(HashingEmbedder):
    """Something happens each time that it embeds a file; it counts the files."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], None] = lambda: None
        self.files = 0

    def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        self.meanwhile()
        self.files += 1
        return super().embed(texts)


class WideEmbedder(HashingEmbedder):
    """Another model: its vectors are longer."""

    name = "wide"

    def __init__(self) -> None:
        super().__init__(128)


class BlindEmbedder(HashingEmbedder):
    """Another model, and a bad one: its vectors have nothing to do with the text."""

    name = "blind"

    def embed_query(self, text: str) -> tuple[float, ...]:
        drawn = random.Random(text)
        return super().embed_query(" ".join(str(drawn.random()) for _ in range(20)))


EMBEDDERS: dict[str, Embedder] = {one.name: one for one in (HashingEmbedder(), WideEmbedder(), BlindEmbedder())}


def open_embedder(name: str) -> Embedder:
    """Raises ValueError for one that is not on this machine."""
    if name not in EMBEDDERS:
        raise ValueError(f"there is no model {name}")
    return EMBEDDERS[name]


def worker_client(app: TestClient) -> httpx.Client:
    """What a worker calls the service with; the test client is a client of another package."""

    def answer(request: httpx.Request) -> httpx.Response:
        content_type = {"Content-Type": "application/json"}
        got = app.request(request.method, request.url.path, content=request.content, headers=content_type)
        return httpx.Response(got.status_code, content=got.content)

    return httpx.Client(transport=httpx.MockTransport(answer), base_url="http://tandem")


@dataclass
class Desk:
    """`embedder` is the reindexing worker's; files are indexed with `indexing_embedder`."""

    engine: IndexEngine
    qdrant: QdrantClient
    sessions: Sessions
    writer: RetrievalWriter
    client: TestClient
    folder: Path
    platform: Platform
    indexing_embedder: Embedder
    parser: Parser
    embedder: InterruptedEmbedder = field(default_factory=InterruptedEmbedder)
    settings: WorkerSettings = field(default_factory=lambda: WorkerSettings(points_per_request=2))

    def __post_init__(self) -> None:
        self.jobs = Jobs(self.sessions)

    def index(self, name: str, text: str, revision: int = 1) -> None:
        path = self.folder / f"{name}.{revision}"
        path.write_text(text)
        file = File(id=name, workspace_id="w1", filename=name, purpose="assistants", bytes=1, sha256="", path=str(path))
        row = StoreFile(store_id="s1", file_id=name, workspace_id="w1", revision=revision, status="in_progress")
        with self.sessions.begin() as session:
            session.merge(file)
            session.flush()
            session.merge(row)
        self.run_indexing(name, revision)

    def run_indexing(self, name: str, revision: int = 1) -> None:
        asked = {"store_id": "s1", "file_id": name, "revision": revision}
        self.run(self.indexing(self.indexing_embedder).index_file, self.start("index_file", asked))

    def delete(self, name: str) -> None:
        """As the gateway does: hidden in the database first, purged after."""
        with self.sessions.begin() as session:
            row = session.get_one(StoreFile, ("s1", name))
            row.deleted, row.revision = True, row.revision + 1
        body = DeleteRequest(workspace_id="w1", store_id="s1", file_id=name)
        assert self.client.post("/points/delete", content=body.model_dump_json()).status_code == 200

    def start(self, kind: JobKind, asked: dict[str, Any]) -> str:
        job = new_job("w1", kind, asked, 60.0)
        with self.sessions.begin() as session:
            session.add(job)
        return job.id

    def run(self, work: Callable[[Job, Heartbeat], dict[str, Any]], job_id: str) -> dict[str, Any]:
        """Claim a job and do it in this thread; what ends it early is raised."""
        claimed = self.jobs.claim(job_id)
        assert claimed is not None
        with Heartbeat(self.jobs, claimed.id, claimed.started_at) as heartbeat:
            result = work(claimed, heartbeat)
        self.jobs.finish(job_id, "succeeded", None, result)
        return result

    def reindexing(
        self, embedder: Embedder | None = None, min_recall: float = 0.0, command: Sequence[str] = BUILDER_COMMAND
    ) -> Reindexing:
        indexing, folder = self.indexing(embedder or self.embedder), self.platform.index_folder
        return Reindexing(self.sessions, indexing, self.writer, folder, min_recall, command)

    def builds(self) -> AbandonedBuilds:
        return AbandonedBuilds(self.sessions, self.writer, self.platform.index_folder)

    def reindex(self, **changes: Any) -> dict[str, Any]:
        return self.run(self.reindexing().reindex, self.start("reindex", {"store_id": "s1", **changes}))

    def roll_back(self) -> dict[str, Any]:
        previous = self.collections().previous_id
        return self.reindex(rollback_to=previous)

    def reconciling(self, hours: float = 24.0) -> Reconciling:
        home = self.platform
        return Reconciling(self.sessions, self.writer, home.files_url, home.index_folder, hours)

    def reconcile(self, **asked: str) -> dict[str, Any]:
        return self.run(self.reconciling().reconcile, self.start("reconcile", asked))

    def indexing(self, embedder: Embedder) -> Indexing:
        return Indexing(self.sessions, self.writer, embedder, self.parser, self.settings, open_embedder)

    def lose_the_worker(self, job_id: str) -> None:
        """The job is running, and its heartbeat stopped long ago."""
        with self.sessions.begin() as session:
            job = session.get_one(Job, job_id)
            job.status, job.heartbeat_at = "running", now() - timedelta(hours=1)

    def cancel(self) -> None:
        for job in self.jobs.list("w1", "reindex"):
            self.jobs.request_cancel("w1", job.id)

    def ask(self, *questions: str) -> None:
        """Questions into the journal, as users would have asked them."""
        with self.sessions.begin() as session:
            for number, question in enumerate(questions):
                empty: dict[str, Any] = {"messages": [], "passages": [], "citations": [], "timings": {}, "versions": {}}
                turn = Turn(id=f"t{number}", workspace_id="w1", model="tandem/rag", mode="rag", answer="", **empty)
                turn.question, turn.created_at = question, now()
                session.add(turn)

    def search(self, query: str) -> list[Passage]:
        return self.writer.search(SearchRequest(workspace_id="w1", store_ids=["s1"], query=query, top_k=50))

    def collections(self) -> CollectionsResponse:
        return CollectionsResponse.model_validate_json(self.client.get("/collections/w1/s1").content)

    def parts(self) -> Parts:
        app: Any = self.client.app
        parts: Parts = app.state.parts
        return parts

    def held(self) -> set[str]:
        """The ids of the collections that the engine has, asked of the engine; and whatever else lies beside them."""
        if not self.engine.embedded:
            return {one.name.split(".")[-1] for one in self.qdrant.get_collections().collections}
        return {path.name for path in (self.platform.index_folder / "w1" / "s1").iterdir()}

    def content(self) -> set[tuple[str, str]]:
        """Chunk ids and texts of the collection that answers, read from the engine."""
        live = self.collections().live_id
        assert live is not None
        with self.parts().collections.use(CollectionRef("w1", "s1", live)) as index:
            return {(point.chunk.id, point.chunk.text) for point in index.scroll()}


@contextmanager
def open_desk(
    folder: Path,
    embedded: bool,
    *,
    service_embedder: Embedder | None = None,
    worker_embedder: Embedder | None = None,
    qdrant: QdrantClient | None = None,
    **settings: Any,
) -> Iterator[Desk]:
    """A desk in a folder; opened there again, it is the same platform after a restart."""
    platform = Platform(home=folder / "home", service_token=TOKEN)
    migrate(platform.database_url)
    sessions = open_sessions(platform.database_url)
    with sessions.begin() as session:
        if session.get(Workspace, "w1") is None:
            session.add(Workspace(id="w1", name="One"))
            session.flush()
            session.add(Store(id="s1", workspace_id="w1", name="Docs"))
    qdrant = qdrant or QdrantClient(location=":memory:")
    engine: IndexEngine = EdgeEngine(platform.index_folder) if embedded else RemoteEngine(qdrant)
    app = create_app(
        platform,
        RetrievalSettings(check_at_start=False, **settings),
        embedder=service_embedder or HashingEmbedder(),
        engine=engine,
        sessions=sessions,
        open_embedder=open_embedder,
    )
    with TestClient(app, headers=HEADERS) as client, closing(Parser()) as parser:
        writer = RetrievalWriter(worker_client(client))
        chosen = worker_embedder or HashingEmbedder()
        yield Desk(engine, qdrant, sessions, writer, client, folder, platform, chosen, parser)
