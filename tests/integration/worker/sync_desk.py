"""A worker that synchronises sources beside the real retrieval service, and the jobs that it would send."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select
from starlette.testclient import TestClient

from retrieval.documents.parser import Parser
from retrieval.errors import RetrievalError
from retrieval.index.edge import EdgeEngine
from retrieval.model import Passage
from services.contracts.jobs import JobKind
from services.contracts.retrieval import SearchRequest
from services.database.engine import migrate, open_sessions
from services.database.tables import Job, Source, SourceDocument, Store, StoreFile, Workspace
from services.domain.jobs import Jobs, new_job
from services.kit.settings import Platform, SourceSettings
from services.retrieval.app import create_app
from services.retrieval.settings import RetrievalSettings
from services.worker.heartbeat import Heartbeat
from services.worker.indexing.indexing import Indexing
from services.worker.light import connector
from services.worker.retrieval_client import RetrievalWriter
from services.worker.settings import WorkerSettings
from services.worker.sources.syncing import Syncing
from tests.fakes import HashingEmbedder

TOKEN = "a-service-token"
Work = Callable[[Job, Heartbeat], dict[str, Any]]


def worker_client(app: TestClient) -> httpx.Client:
    """What a worker calls the service with; the test client is a client of another package."""

    def answer(request: httpx.Request) -> httpx.Response:
        content_type = {"Content-Type": "application/json"}
        got = app.request(request.method, request.url.path, content=request.content, headers=content_type)
        return httpx.Response(got.status_code, content=got.content)

    return httpx.Client(transport=httpx.MockTransport(answer), base_url="http://tandem")


class Desk:
    """Workspace w1 with store s1. `sent` are the jobs that were handed to the workers and not done yet."""

    def __init__(self, home: Path, client: TestClient, platform: Platform, settings: SourceSettings) -> None:
        self.sessions = open_sessions(platform.database_url)
        self.writer, self.jobs, self.sent = RetrievalWriter(worker_client(client)), Jobs(self.sessions), list[Job]()
        self.files, self._client = home / "files", client
        self.indexing = Indexing(self.sessions, self.writer, HashingEmbedder(), Parser(), WorkerSettings())
        self.allow(settings)

    def allow(self, settings: SourceSettings) -> None:
        self.syncing = Syncing(
            self.sessions, f"file://{self.files}", self.writer, connector(settings), self.sent.append, settings
        )

    def add(self, kind: str, location: str, source_id: str = "src_1", **settings: Any) -> str:
        source = Source(id=source_id, workspace_id="w1", store_id="s1", name="Docs", kind=kind, location=location,
                        settings=settings)  # fmt: skip
        with self.sessions.begin() as session:
            session.add(source)
        return source_id

    def sync(self, source_id: str = "src_1", **options: bool) -> dict[str, Any]:
        """One sync, without the indexing that it asks for."""
        return self.run(self.syncing.sync, "sync_source", {"source_id": source_id, **options})

    def run(self, work: Work, kind: JobKind, asked: dict[str, Any]) -> dict[str, Any]:
        job = new_job("w1", kind, asked, 600.0)
        with self.sessions.begin() as session:
            session.add(job)
        return self.perform(job, work)

    def perform(self, job: Job, work: Work) -> dict[str, Any]:
        claimed = self.jobs.claim(job.id)
        assert claimed is not None
        with Heartbeat(self.jobs, claimed.id) as heartbeat:
            try:
                result = work(claimed, heartbeat)
            except BaseException:
                self.jobs.finish(job.id, "failed", "failed")
                raise
        self.jobs.finish(job.id, "succeeded", None)
        return result

    def index(self) -> None:
        """Do what was sent."""
        while self.sent:
            job = self.sent.pop(0)
            try:
                self.perform(job, self.indexing.index_file)
            except RetrievalError as error:
                self.indexing.failed(job, str(error))

    def step(self, source_id: str = "src_1", **options: bool) -> dict[str, Any]:
        report = self.sync(source_id, **options)
        self.index()
        return report

    def search(self, query: str) -> list[Passage]:
        return self.writer.search(SearchRequest(workspace_id="w1", store_ids=["s1"], query=query, top_k=50))

    def answers(self, query: str) -> set[str]:
        """Names of the files that have a passage for a query."""
        return {passage.chunk.filename for passage in self.search(query)}

    def source(self, source_id: str = "src_1") -> Source:
        with self.sessions() as session:
            return session.get_one(Source, source_id)

    def document(self, key: str, source_id: str = "src_1") -> SourceDocument:
        with self.sessions() as session:
            return session.get_one(SourceDocument, (source_id, key))

    def rows(self) -> dict[str, StoreFile]:
        with self.sessions() as session:
            found = session.scalars(select(StoreFile).where(StoreFile.deleted.is_(False))).all()
        return {row.file_id: row for row in found}

    def points(self) -> int:
        """Chunks in the index, seen or not."""
        return int(self._client.get("/collections/w1/s1").json()["count"])


@contextmanager
def open_desk(home: Path, settings: SourceSettings) -> Iterator[Desk]:
    platform = Platform(home=home, service_token=TOKEN)
    migrate(platform.database_url)
    sessions = open_sessions(platform.database_url)
    with sessions.begin() as session:
        session.add(Workspace(id="w1", name="One"))
        session.flush()
        session.add(Store(id="s1", workspace_id="w1", name="Docs"))
    engine = EdgeEngine(platform.index_folder)
    app = create_app(platform, RetrievalSettings(), embedder=HashingEmbedder(), engine=engine, sessions=sessions)
    with TestClient(app, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield Desk(home, client, platform, settings)
