"""Gateway and generation in one process: the real routes, publisher and database over slots whose engines are fakes."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import httpx
from fastapi import FastAPI
from fastapi.testclient import TestClient

from services.contracts.generation import RoutingTable
from services.database.tables import ApiKey, Version
from services.generation import routes
from services.generation.app import ERRORS
from services.generation.publishing.publisher import Publisher
from services.generation.service import Generation
from services.generation.slots.routing import table_of
from services.kit import errors
from services.kit.settings import Platform
from tests.gateway_fakes import FakeModel, Gateway
from tests.unit.generation.generation_fakes import Yard

Model = Callable[[httpx.Request], Awaitable[httpx.Response]]
BEFORE: dict[str, Any] = {"base_model": "base", "dataset_hash": "d", "template_fingerprint": "t", "settings": {}}
PASSED = {"passed": True, "summary": "The candidate passed all 5 checks.", "checks": []}
REFUSED = {"passed": False, "summary": "The candidate was refused: Style fell: 0.2 against 0.6.", "checks": []}


class _Generation:
    """The generation service's half that needs no process."""

    def __init__(self, yard: Yard, publisher: Publisher) -> None:
        self.platform, self.fleet, self.publisher = Platform(service_token="token"), yard.fleet, publisher

    def table(self) -> RoutingTable:
        return table_of(self.fleet.rows(), self.publisher.canaries(), epoch=1)


class VersionDesk:
    """Workspace `one`. `models` answers for a version by its id; each is a `FakeModel` until a test says otherwise."""

    def __init__(self, folder: Path) -> None:
        self.yard, self.models = Yard(), defaultdict[str, Model](FakeModel)
        service = FastAPI()
        errors.install(service, ERRORS)
        token = {"Authorization": "Bearer token"}
        generation = httpx.AsyncClient(
            transport=httpx.ASGITransport(service), base_url="http://generation", headers=token
        )
        self.gateway = Gateway(folder, generation, self._answer)
        self.sessions = self.gateway.sessions
        self.publisher = Publisher(self.sessions, self.yard.fleet, folder / "versions")
        service.include_router(routes.internal(cast(Generation, _Generation(self.yard, self.publisher))))
        with self.sessions.begin() as session:
            session.get_one(ApiKey, "key-one").scopes = ["ask", "voice", "operate"]
        self.http = TestClient(self.gateway.app, headers={"Authorization": "Bearer one"})

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        return await self.models[json.loads(request.content)["model"]](request)

    def add(self, name: str, gate: dict[str, Any] | None = PASSED, workspace: str = "one", **columns: Any) -> str:
        """A version with the id `name`, judged by `gate`; returns its `ft:` name."""
        status = "refused" if gate is REFUSED else "candidate"
        values = {**BEFORE, "path": f"{workspace}/{name}", "status": status, "gate": gate or {}, **columns}
        with self.sessions.begin() as session:
            session.add(Version(id=name, name=f"ft:base:x:{name}", workspace_id=workspace, **values))
        return f"ft:base:x:{name}"

    def make_live(self, name: str) -> None:
        """Publish a version through the API, with as many calls as it takes."""
        if self.post(name, "publish").status_code == 202:
            self.settle()
            assert self.post(name, "publish").status_code == 200

    def post(self, name: str, what: str, **body: Any) -> Any:
        """A call on a version: publish, pin, canary."""
        return self.http.post(f"/v1/versions/{name}/{what}", json=body)

    def get(self, path: str, **parameters: Any) -> Any:
        answer = self.http.get(f"/v1/versions{path}", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def history(self) -> list[dict[str, Any]]:
        """The oldest first."""
        events: list[dict[str, Any]] = self.get("/history", limit=100)["data"]
        return events[::-1]

    def settle(self) -> None:
        """Do what generation's threads would have done by now."""
        self.yard.settle()
        self.publisher.finish_rollbacks()
        self.publisher.watch_canaries()
        self.yard.settle()

    def ask(self, question: str, model: str = "tandem/tuned") -> Any:
        body = {"model": model, "messages": [{"role": "user", "content": question}]}
        return self.http.post("/v1/chat/completions", json=body)

    def live(self) -> str | None:
        found = [row["id"] for row in self.get("")["data"] if row["live"]]
        return found[0] if found else None
