"""Pages of other origins: a browser's preflight, and the headers without which it hides an answer from the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from services.gateway.settings import GatewaySettings
from tests.gateway_fakes import Gateway

ORIGIN, VARIABLE = "https://chat.example.org", "TANDEM_GATEWAY_CORS_ORIGINS"
CHAT = "/v1/chat/completions"
ASKED = {"model": "tandem/rag", "messages": [{"role": "user", "content": "How long may I return a bike?"}]}
PREFLIGHT = {
    "Origin": ORIGIN,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang",
}


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    monkeypatch.setenv(VARIABLE, f'["{ORIGIN}"]')
    return Gateway(tmp_path)


@pytest.fixture
def page(gateway: Gateway) -> TestClient:
    """A page of the origin that is allowed; it has no key yet."""
    return TestClient(gateway.app, headers={"Origin": ORIGIN}, raise_server_exceptions=False)


KEY = {"Authorization": "Bearer one"}


@pytest.mark.parametrize("path", [CHAT, "/v1/files", "/v1/vector_stores/vs_one", "/health"])
def test_a_preflight_is_answered_without_a_key(page: TestClient, path: str) -> None:
    answer = page.options(path, headers=PREFLIGHT)
    assert answer.status_code in (200, 204)
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()
    assert "access-control-allow-credentials" not in answer.headers


def test_answers_and_streams_carry_the_headers(page: TestClient) -> None:
    whole = page.post(CHAT, json=ASKED, headers=KEY)
    stream = page.post(CHAT, json={**ASKED, "stream": True}, headers=KEY)
    for answer in (whole, stream):
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "x-ratelimit-remaining-requests" in answer.headers["access-control-expose-headers"]
    assert "[DONE]" in stream.text


def test_errors_carry_the_headers(page: TestClient, gateway: Gateway) -> None:
    answers = {
        401: page.post(CHAT, json=ASKED),
        403: page.get("/v1/jobs", headers=KEY),
        404: page.get("/v1/nothing", headers=KEY),
        413: page.post(CHAT, content=b" " * (2**20 + 1), headers=KEY),
    }
    gateway.parts.deliveries.waiting.update(str(n) for n in range(64))
    answers[429] = page.post(CHAT, json=ASKED, headers=KEY)
    gateway.replace(asking=None)
    gateway.parts.deliveries.waiting.clear()
    answers[500] = page.post(CHAT, json=ASKED, headers=KEY)
    for status, answer in answers.items():
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == ORIGIN, status


def test_another_origin_gets_no_headers(page: TestClient) -> None:
    stranger = {"Origin": "https://elsewhere.example"}
    assert page.options(CHAT, headers={**PREFLIGHT, **stranger}).status_code == 400
    answer = page.post(CHAT, json=ASKED, headers={**KEY, **stranger})
    assert "access-control-allow-origin" not in answer.headers


def test_any_origin_is_let_in_where_the_setting_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, '["*"]')
    answer = TestClient(Gateway(tmp_path).app).options(CHAT, headers=PREFLIGHT)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")
    assert "access-control-allow-credentials" not in answer.headers


def test_without_the_setting_no_page_is_let_in(tmp_path: Path) -> None:
    http = TestClient(Gateway(tmp_path).app)
    assert http.options(CHAT, headers=PREFLIGHT).status_code == 401
    assert "access-control-allow-origin" not in http.post(CHAT, json=ASKED, headers={**KEY, "Origin": ORIGIN}).headers


@pytest.mark.parametrize("wrong", ["https://chat.example.org/", "chat.example.org", "https://*.example.org", ""])
def test_what_is_no_origin_is_refused_in_words(wrong: str) -> None:
    with pytest.raises(ValidationError, match="is no origin"):
        GatewaySettings(cors_origins=[wrong])
