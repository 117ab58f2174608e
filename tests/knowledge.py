"""The knowledge half of a platform in one process: gateway, retrieval and the worker's tasks over a real database and a
real index, driven by the stock `openai` package. A thread stands where broker and worker are; no model is served.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from openai import OpenAI
from redis.asyncio import Redis
from starlette.testclient import TestClient

from retrieval.documents.parser import Parser
from services.contracts.generation import Route, RoutingTable
from services.contracts.jobs import INDEX_FILE, REINDEX_STORE
from services.database.engine import Sessions, migrate, open_sessions
from services.database.tables import ApiKey, Workspace
from services.domain.jobs import Jobs
from services.domain.keys import SCOPES
from services.gateway.app import create_app as create_gateway
from services.gateway.parts import Connections, make_parts
from services.gateway.parts import Parts as GatewayParts
from services.gateway.settings import GatewaySettings, Settings
from services.kit.queue import redis_client
from services.kit.settings import Platform
from services.retrieval.app import create_app as create_retrieval
from services.retrieval.settings import RetrievalSettings
from services.worker import tasks
from services.worker.indexing.indexing import Indexing
from services.worker.indexing.reconciling import Reconciling
from services.worker.parts import Parts
from services.worker.performing import perform
from services.worker.reindexing.reindexing import Reindexing
from services.worker.retrieval_client import RetrievalDown, RetrievalWriter
from services.worker.settings import WorkerSettings
from tests.fakes import HashingEmbedder

TOKEN = "a-service-token"
ALWAYS_REFUSE = 2.0  # no answerability reaches it, so that a grounded question is answered without a model
ALIASES = {"gpt-4o-mini-2024-07-18": "tandem/base"}
ROUTE = Route(slot="base", address="http://slot", model="base-weights")
TABLE = RoutingTable(epoch=1, base=ROUTE, live={}, versions={}, loading=[])


class WorkerThread:
    """Takes tasks as the broker would, and works them off one by one. `hold` keeps it from beginning another."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._may_go = threading.Event()
        self._may_go.set()

    def send_task(self, name: str, args: list[Any], **_options: Any) -> None:
        task = {INDEX_FILE: tasks.index_file, REINDEX_STORE: tasks.reindex_store}.get(name)
        if task is not None:  # nobody here takes fine-tuning
            self._pool.submit(self._work, task, args)

    def _work(self, task: Any, args: list[Any]) -> None:
        self._may_go.wait(60.0)
        task(*args)

    @contextmanager
    def hold(self) -> Iterator[None]:
        self._may_go.clear()
        try:
            yield
        finally:
            self._may_go.set()

    def settle(self) -> None:
        """Return when everything sent so far is done."""
        self._pool.submit(lambda: None).result(timeout=120.0)

    def stop(self) -> None:
        self._pool.shutdown()


@dataclass
class Knowledge:
    """Gateway and retrieval, with clients of them."""

    gateway: FastAPI
    gateway_parts: GatewayParts
    http: TestClient
    retrieval: TestClient
    sessions: Sessions
    worker: WorkerThread
    writer: RetrievalWriter
    embedder: HashingEmbedder

    def client(self, workspace_id: str, **limits: int) -> OpenAI:
        """The stock client with a new key of a workspace, which is made where it is new."""
        key = self.key(workspace_id, **limits)
        return OpenAI(base_url="http://testserver/v1", api_key=key, http_client=self.http, max_retries=0)

    def key(self, workspace_id: str, requests: int = 100_000, tokens: int = 1_000_000) -> str:
        """`requests` and `tokens` are its limits a minute."""
        key = f"sk-tandem-{secrets.token_urlsafe(32)}"
        row = ApiKey(
            id=f"key_{secrets.token_hex(8)}",
            workspace_id=workspace_id,
            name="test",
            digest=hashlib.sha256(key.encode()).hexdigest(),
            prefix=key[:14],
            scopes=list(SCOPES),
            requests_per_minute=requests,
            tokens_per_minute=tokens,
        )
        with self.sessions.begin() as session:
            if session.get(Workspace, workspace_id) is None:
                session.add(Workspace(id=workspace_id, name=workspace_id))
                session.flush()
            session.add(row)
        return key


@dataclass
class InThisThread:
    """Reindexes without a process of its own."""

    parts: Parts

    def start(self, job_id: str) -> bool:
        perform(self.parts.jobs, job_id, self.parts.reindexing.reindex, passing=(RetrievalDown,))
        return True


def worker_http(app: TestClient) -> httpx.Client:
    """What a worker calls the retrieval service with; the test client is a client of another package."""

    def answer(request: httpx.Request) -> httpx.Response:
        content_type = {"Content-Type": "application/json"}
        got = app.request(request.method, request.url.path, content=request.content, headers=content_type)
        return httpx.Response(got.status_code, content=got.content)

    return httpx.Client(transport=httpx.MockTransport(answer), base_url="http://tandem")


def _generation(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=TABLE.model_dump_json())


@contextmanager
def knowledge(home: Path, monkeypatch: pytest.MonkeyPatch, counters: Redis | None = None) -> Iterator[Knowledge]:
    """Without `counters` limits are not counted, as while the broker is away."""
    platform = Platform(
        home=home,
        service_token=TOKEN,
        files_url=str(home / "files"),
        base_model="base",
        top_k=3,
        min_answerability=ALWAYS_REFUSE,
        max_answer_tokens=64,
    )
    settings = Settings(platform, GatewaySettings(max_body_bytes=1 << 20, model_aliases=ALIASES))
    migrate(platform.database_url)
    sessions, embedder, worker = open_sessions(platform.database_url), HashingEmbedder(), WorkerThread()
    service = create_retrieval(platform, RetrievalSettings(), embedder=embedder, sessions=sessions)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    connections = Connections(
        sessions=sessions,
        retrieval=httpx.AsyncClient(
            transport=httpx.ASGITransport(service, raise_app_exceptions=False),
            base_url="http://retrieval",
            headers=headers,
        ),
        generation=httpx.AsyncClient(transport=httpx.MockTransport(_generation), base_url="http://generation"),
        celery=worker,
        counters=counters or redis_client(f"redis+socket://{home}/no-broker"),
    )
    gateway_parts = make_parts(settings, connections)
    gateway = create_gateway(settings.gateway, gateway_parts)
    with TestClient(service, headers=headers) as retrieval, TestClient(gateway) as http:
        writer = RetrievalWriter(worker_http(retrieval))
        indexing = Indexing(sessions, writer, embedder, Parser(), WorkerSettings())
        reindexing = Reindexing(sessions, indexing, writer, platform.index_folder)
        reconciling = Reconciling(sessions, writer, str(home / "files"), platform.index_folder, hours=0)
        parts = Parts(Jobs(sessions), indexing, reindexing, reconciling)
        monkeypatch.setattr(tasks, "parts", lambda: parts)
        monkeypatch.setattr(tasks, "jobs", lambda: parts.jobs)
        monkeypatch.setattr(tasks, "reindexing_job", lambda: InThisThread(parts))
        try:
            yield Knowledge(gateway, gateway_parts, http, retrieval, sessions, worker, writer, embedder)
        finally:
            worker.stop()
