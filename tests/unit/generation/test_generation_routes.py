"""The generation service's routes: who may ask, and what refusals look like. No engine is started."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from services.database.engine import migrate
from services.generation.app import create_app
from services.generation.service import Generation
from services.generation.settings import GenerationSettings
from services.kit.settings import Platform

TOKEN = {"Authorization": "Bearer secret"}


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    """A client of the app, which is not started: no slot runs."""
    platform = Platform(home=tmp_path_factory.mktemp("home"), service_token="secret")
    migrate(platform.database_url)
    return TestClient(create_app(Generation(platform, GenerationSettings())))


@pytest.mark.parametrize("path", ["/routing", "/slots", "/load", "/unload", "/publish", "/rollback"])
def test_every_route_but_the_open_ones_wants_the_service_token(http: TestClient, path: str) -> None:
    ask = http.get if path in ("/routing", "/slots") else http.post
    for headers in ({}, {"Authorization": "Bearer other"}):
        response = ask(path, headers=headers)
        assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_service_token")


def test_the_token_is_looked_at_before_the_body(http: TestClient) -> None:
    broken = http.post("/load", content=b"{", headers={"Content-Type": "application/json"})
    assert broken.status_code == 401
    assert http.get("/slots", headers={b"Authorization": "Bearer \xe9".encode()}).status_code == 401


def test_health_ready_and_metrics_want_no_token(http: TestClient) -> None:
    assert http.get("/health").json() == {"status": "ok"}
    ready = http.get("/ready")
    assert (ready.status_code, ready.json()["error"]["message"]) == (503, "Not ready: preparing base weights.")
    assert "tandem_generation_publishes_total 0.0" in http.get("/metrics").text


def test_nothing_is_routed_before_a_slot_runs(http: TestClient) -> None:
    table = http.get("/routing", headers=TOKEN).json()
    assert (table["base"], table["live"], table["versions"], table["loading"]) == (None, {}, {}, [])


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [("/load", 404, "unknown_version"), ("/publish", 404, "unknown_version"), ("/unload", 202, None)],
)
def test_a_version_that_does_not_exist_is_unknown(http: TestClient, path: str, status: int, code: str | None) -> None:
    response = http.post(path, headers=TOKEN, json={"workspace_id": "w", "version_id": "v9"})
    assert response.status_code == status
    if code:
        assert response.json()["error"]["code"] == code


def test_a_rollback_without_a_past_is_a_conflict(http: TestClient) -> None:
    response = http.post("/rollback", headers=TOKEN, json={"workspace_id": "w"})
    assert (response.status_code, response.json()["error"]["code"]) == (409, "nothing_to_roll_back_to")


def test_a_body_with_a_word_too_many_is_refused(http: TestClient) -> None:
    response = http.post("/rollback", headers=TOKEN, json={"workspace_id": "w", "force": True})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_value")
