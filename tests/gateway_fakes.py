"""A gateway in process: the real app and database, with stand-ins for the slot, retrieval and the broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import httpx
from celery import Celery
from fastapi.testclient import TestClient
from openai import OpenAI

from retrieval.model import Chunk, FileRef, Passage
from services.contracts.convert import passage_body
from services.contracts.generation import Route, RoutingTable
from services.contracts.retrieval import EmbeddingResponse, SearchResponse
from services.database.engine import Sessions, open_sessions
from services.database.tables import ApiKey, Base, Store, Workspace
from services.domain.keys import digest
from services.gateway.answering.asking import Asking
from services.gateway.app import create_app
from services.gateway.http.parts import hold
from services.gateway.parts import Connections, make_parts
from services.gateway.settings import Settings
from services.gateway.upstream.slots import Slots
from services.kit.settings import Platform

TEXT = "Customers may return a bike within 30 days of delivery."
ROUTE = Route(slot="base", address="http://slot", model="base-weights")
TABLE = RoutingTable(epoch=1, base=ROUTE, live={}, versions={}, loading=[])
Model = Callable[[httpx.Request], Any]
PIECES = ("You may return it ", "within 30 days [1].")


class FakeModel:
    """A slot. It streams `pieces`, each of them a token, as many as are allowed; `fits` is how many messages its
    context takes; with `breaks` it fails for `reason` after the first piece, with `hangs` it waits there; `freed` tells
    that its stream ended."""

    def __init__(self) -> None:
        self.fits, self.breaks, self.hangs, self.freed = 99, False, False, False
        self.pieces: tuple[str, ...] = PIECES
        self.reason = "out of memory"
        self.bodies = list[dict[str, Any]]()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != "/v1/chat/completions":
            return httpx.Response(404)  # a server that neither tells its context nor counts tokens
        body = json.loads(request.content)
        self.bodies.append(body)
        if len(body["messages"]) > self.fits:
            return httpx.Response(400, json={"error": {"message": "exceeds the maximum context length"}})
        return httpx.Response(200, stream=_Stream(self, body))


class _Stream(httpx.AsyncByteStream):
    def __init__(self, model: FakeModel, body: dict[str, Any]) -> None:
        self.model, self.most, self.tells = model, body["max_tokens"], body.get("logprobs")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        sent = self.model.pieces[: self.most]
        for piece in sent:
            logprobs = {"content": [_token(piece)]} if self.tells else None
            yield _event({"choices": [{"delta": {"content": piece}, "logprobs": logprobs}]})
            if self.model.breaks:
                yield _event({"error": {"message": self.model.reason}})
            if self.model.hangs:
                await asyncio.Event().wait()
        finish = "stop" if len(sent) == len(self.model.pieces) else "length"
        yield _event({"choices": [{"delta": {}, "finish_reason": finish}]})
        yield _event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": len(sent)}})

    async def aclose(self) -> None:
        self.model.freed = True


def _token(piece: str) -> dict[str, Any]:
    token = {"token": piece, "logprob": -0.5, "bytes": list(piece.encode())}
    return {**token, "top_logprobs": [token]}


def _event(content: dict[str, Any]) -> bytes:
    """As vLLM writes it: UTF-8, so that U+2028 stands in it as it is."""
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n".encode()


class FakeRetrieval:
    """A retrieval service that finds the same two passages for every question, the first with `text`, and
    none where that is empty; it keeps what it was asked."""

    def __init__(self) -> None:
        self.up, self.text, self.asked = True, TEXT, list[dict[str, Any]]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if not self.up:
            raise httpx.ConnectError("down")
        asked = json.loads(request.content)
        if request.url.path == "/embeddings":
            vectors = [[1.0] + 383 * [0.0] for _ in asked["texts"]]
            made = EmbeddingResponse(model="all-minilm-l6-v2", vectors=vectors, tokens=len(vectors))
            return httpx.Response(200, content=made.model_dump_json())
        self.asked.append(asked)
        texts = (self.text, "The workshop opens at nine.")
        found = [passage_body(_passage(n, text)) for n, text in enumerate(texts[: asked["top_k"]]) if self.text]
        collections = dict.fromkeys(asked["store_ids"], "col-1")
        response = SearchResponse(query=asked["query"], passages=found, timings_ms={}, collections=collections)
        return httpx.Response(200, content=response.model_dump_json())


def _passage(number: int, text: str) -> Passage:
    source = FileRef("one", "vs_one", f"file-{number}", 1, {"year": 2026.0})
    return Passage(Chunk(f"c{number}", source, 0, text, f"{number}.md", "Refunds", (), None, 0, len(text)), score=0.9)


class FakeCounters:
    """The broker's counters: nothing is ever used up."""

    def pipeline(self, transaction: bool) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        pass

    def __getattr__(self, _name: str) -> Callable[..., Self]:
        return lambda *_values, **_options: self

    async def execute(self) -> list[int]:
        return [1, 1, 0]

    async def aclose(self) -> None:
        pass


class Gateway:
    """Two workspaces, `one` and `two`, each with a key of its name and a default store `vs_<name>`.

    Every slot is `model`. Without a `generation`, there is one slot, of the base weights.
    """

    def __init__(self, folder: Path, generation: httpx.AsyncClient | None = None, model: Model | None = None) -> None:
        self.sessions = open_sessions(f"sqlite:///{folder}/tandem.db")
        with self.sessions.begin() as session:
            Base.metadata.create_all(session.connection())
        self.model, self.retrieval = FakeModel(), FakeRetrieval()
        for name in ("one", "two"):
            _add_workspace(self.sessions, name)
        self.settings = Settings(
            Platform(home=folder, top_k=3, min_answerability=0.0, guard="off", max_answer_tokens=64)
        )
        connections = connections_to(self.sessions, self.retrieval, generation or generation_of(TABLE))
        answering = model or self.model
        slots = Slots(connections.generation, refresh=0.0, timeout=5.0, connect=lambda _address: _http(answering))
        self.parts = make_parts(self.settings, connections, slots)
        self.app = create_app(self.settings.gateway, self.parts)

    def replace(self, **parts: Any) -> None:
        """Put other parts in the place of some."""
        self.parts = replace(self.parts, **parts)
        hold(self.app, self.parts)

    def set(self, **changes: Any) -> None:
        """Ask with other settings, the platform's and the gateway's, from here on."""
        of_platform = {name: changes.pop(name) for name in list(changes) if name in Platform.model_fields}
        platform = self.settings.platform.model_copy(update=of_platform)
        settings = self.settings.gateway.model_copy(update=changes)
        parts = self.parts
        self.replace(asking=Asking(platform, settings, parts.stores, parts.versions, parts.jobs, parts.slots))

    def key(self, *scopes: str, workspace: str = "one") -> str:
        """A new key with these scopes; its name says which."""
        name = f"{workspace}:{'+'.join(scopes)}"
        with self.sessions.begin() as session:
            session.add(_api_key(name, workspace, list(scopes)))
        return name

    def http(self, key: str = "one") -> TestClient:
        return TestClient(self.app, headers={"Authorization": f"Bearer {key}"})

    def openai(self, key: str = "one") -> OpenAI:
        return OpenAI(base_url="http://testserver/v1", api_key=key, max_retries=0, http_client=TestClient(self.app))


def connections_to(sessions: Sessions, retrieval: Model, generation: httpx.AsyncClient) -> Connections:
    """Connections of a gateway whose jobs nobody takes, and whose counters never count."""
    counters: Any = FakeCounters()
    return Connections(sessions, _http(retrieval), generation, Celery(), counters)


def generation_of(table: RoutingTable) -> httpx.AsyncClient:
    """A generation service that has this routing table."""
    return _http(lambda _request: httpx.Response(200, content=table.model_dump_json()))


def _http(side: Callable[[httpx.Request], Any]) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.MockTransport(side), base_url="http://x")


def _add_workspace(sessions: Sessions, name: str) -> None:
    with sessions.begin() as session:
        session.add(Workspace(id=name, name=name))
        session.flush()
        session.add(Store(id=f"vs_{name}", workspace_id=name, name=name, is_default=True))
        session.add(_api_key(name, name, ["ask"]))


def _api_key(name: str, workspace: str, scopes: list[str]) -> ApiKey:
    key = ApiKey(id=f"key-{name}", workspace_id=workspace, name=name, digest=digest(name), prefix=name)
    key.scopes, key.requests_per_minute, key.tokens_per_minute = scopes, 100, 100_000
    return key
