"""The gateway's routes for a store's index, over the real retrieval service and a real database; tasks go nowhere."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from services.database.tables import ApiKey, Collection, Workspace
from services.domain.keys import SCOPES
from services.gateway.app import create_app
from services.gateway.parts import Connections, make_parts
from services.gateway.settings import Settings
from services.kit.queue import make_celery, redis_client
from tests.integration.worker.reindexing.pages import TYRES
from tests.worker_desk import TOKEN, Desk, open_desk

KEY, OTHER = "sk-one", "sk-two"


@dataclass
class Front:
    """The public API before a desk."""

    desk: Desk
    http: TestClient

    def post(self, path: str, body: dict[str, Any] | None = None, key: str = KEY) -> tuple[int, dict[str, Any]]:
        answer = self.http.post(path, json=body or {}, headers={"Authorization": f"Bearer {key}"})
        return answer.status_code, answer.json()

    def get(self, path: str, key: str = KEY) -> tuple[int, dict[str, Any]]:
        answer = self.http.get(path, headers={"Authorization": f"Bearer {key}"})
        return answer.status_code, answer.json()


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    with open_desk(tmp_path, embedded=True) as desk:
        with desk.sessions.begin() as session:
            session.add(Workspace(id="w2", name="Two"))
            session.flush()
            for workspace, key in (("w1", KEY), ("w2", OTHER)):
                digest = hashlib.sha256(key.encode()).hexdigest()
                session.add(ApiKey(id=key, workspace_id=workspace, name=key, digest=digest, prefix=key[:6],
                                   scopes=list(SCOPES), requests_per_minute=600, tokens_per_minute=10_000))  # fmt: skip
        desk.index("tyres.md", TYRES)
        service = httpx.ASGITransport(app=desk.client.app)
        nowhere = httpx.MockTransport(lambda _request: httpx.Response(503, json={}))
        settings = Settings(desk.platform)
        connections = Connections(
            desk.sessions,
            httpx.AsyncClient(transport=service, base_url="http://x", headers={"Authorization": f"Bearer {TOKEN}"}),
            httpx.AsyncClient(transport=nowhere, base_url="http://x"),
            make_celery("memory://"),
            redis_client(f"redis+socket://{tmp_path}/none.sock"),
        )
        app = create_app(settings.gateway, make_parts(settings, connections))
        with TestClient(app) as http:
            yield Front(desk, http)


def test_the_index_tells_how_it_stands(front: Front) -> None:
    status, index = front.get("/v1/vector_stores/s1/index")
    assert (status, index["status"], index["embedder"]) == (200, "ready", "hashing")
    assert [build["state"] for build in index["collections"]] == ["live"]
    assert index["count"] > 0


def test_a_damaged_index_is_told_by_the_search_too(front: Front) -> None:
    with front.desk.sessions.begin() as session:
        session.query(Collection).update({"problem": "a vector is cut"})
    assert front.get("/v1/vector_stores/s1/index")[1]["status"] == "damaged"
    status, answer = front.post("/v1/vector_stores/s1/search", {"query": "tyre"})
    assert (status, answer["error"]["code"]) == (503, "index_damaged")
    assert "tandem reindex --store s1" in answer["error"]["message"]


def test_a_reindexing_is_paused_resumed_and_cancelled(front: Front) -> None:
    _, job = front.post("/v1/vector_stores/s1/reindex", {"chunk_size": 64})
    assert job["request"] == {"store_id": "s1", "chunk_size": 64}
    states = [front.post(f"/v1/jobs/{job['id']}/{order}")[1]["status"] for order in ("pause", "resume", "cancel")]
    assert states == ["paused", "queued", "cancelled"]


def test_a_store_has_one_reindexing_at_a_time(front: Front) -> None:
    _, first = front.post("/v1/vector_stores/s1/reindex", {"chunk_size": 64})
    assert front.post("/v1/vector_stores/s1/reindex", {"chunk_size": 64})[1]["id"] == first["id"]
    status, answer = front.post("/v1/vector_stores/s1/reindex", {"chunk_size": 128})
    assert (status, answer["error"]["code"]) == (409, "store_is_busy")
    assert first["id"] in answer["error"]["message"]


def test_a_job_that_is_not_paused_cannot_be_resumed(front: Front) -> None:
    _, job = front.post("/v1/vector_stores/s1/reindex")
    status, answer = front.post(f"/v1/jobs/{job['id']}/resume")
    assert (status, answer["error"]["code"]) == (409, "wrong_job_state")


def test_the_way_back_needs_a_build_before(front: Front) -> None:
    status, answer = front.post("/v1/vector_stores/s1/rollback")
    assert (status, answer["error"]["code"]) == (409, "nothing_to_roll_back_to")
    former = front.desk.collections().live_id
    front.desk.reindex(chunk_size=64)
    _, job = front.post("/v1/vector_stores/s1/rollback")
    front.desk.run(front.desk.reindexing().reindex, job["id"])
    assert front.get("/v1/vector_stores/s1/index")[1]["live_id"] == former


def test_a_reconcile_answers_with_its_job(front: Front) -> None:
    status, job = front.post("/v1/vector_stores/s1/reconcile")
    assert (status, job["kind"], job["request"]) == (200, "reconcile", {"store_id": "s1"})
    assert front.post(f"/v1/jobs/{job['id']}/pause")[1]["error"]["code"] == "wrong_job_state"


@pytest.mark.parametrize("what", ["reindex", "rollback", "reconcile"])
def test_another_workspaces_store_does_not_exist(front: Front, what: str) -> None:
    assert front.post(f"/v1/vector_stores/s1/{what}", key=OTHER)[0] == 404
    assert front.get("/v1/vector_stores/s1/index", key=OTHER)[0] == 404


@pytest.mark.parametrize("order", ["pause", "resume", "cancel"])
def test_another_workspaces_job_does_not_exist(front: Front, order: str) -> None:
    _, job = front.post("/v1/vector_stores/s1/reindex")
    assert front.post(f"/v1/jobs/{job['id']}/{order}", key=OTHER)[0] == 404


@pytest.mark.parametrize("body", [{"chunk_size": 1}, {"force": False}, {"sparse_average_length": 0}])
def test_a_wrong_order_is_refused(front: Front, body: dict[str, Any]) -> None:
    assert front.post("/v1/vector_stores/s1/reindex", body)[0] == 400


def test_freshness_is_in_the_metrics(front: Front) -> None:
    front.http.delete("/v1/vector_stores/s1/files/tyres.md", headers={"Authorization": f"Bearer {KEY}"})
    text = front.desk.client.get("/metrics").text
    assert "tandem_retrieval_upload_to_searchable_seconds_count 1.0" in text
    assert "tandem_retrieval_delete_to_gone_seconds_count 1.0" in text
