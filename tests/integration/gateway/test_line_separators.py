"""Characters that `str.splitlines` cuts at, in documents, questions and answers, over a real server to real clients."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from openai import OpenAI

from harness.platform import TANDEM, free_port
from services.dashboard.gateway import Gateway as Page
from tests.gateway_fakes import Gateway

SEPARATORS = "\u2028\u2029\u0085\x0b\x0c\x1c\x1d\x1e"
ANSWER = f"You may return it{SEPARATORS}within 30 days [1]."
DOCUMENT = f"Customers may return a bike{SEPARATORS}within 30 days of delivery."
KEY = {"Authorization": "Bearer one"}
ASKED: dict[str, Any] = {
    "model": "tandem/rag",
    "messages": [{"role": "user", "content": f"How long{SEPARATORS}may I return it?"}],
    "stream": True,
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    gateway = Gateway(tmp_path_factory.mktemp("gateway"))
    gateway.model.pieces, gateway.retrieval.text = (ANSWER[:20], ANSWER[20:]), DOCUMENT
    return gateway


@pytest.fixture(scope="module")
def address(gateway: Gateway) -> Iterator[str]:
    """The gateway behind a real server."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(gateway.app, port=port, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def client(address: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{address}/v1", api_key="one", max_retries=0) as client:
        yield client


def test_the_openai_package_reads_the_answer_streamed_and_whole(client: OpenAI, gateway: Gateway) -> None:
    chunks: list[Any] = list(client.chat.completions.create(**ASKED))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER
    assert chunks[0].passages[0]["text"] == DOCUMENT
    assert gateway.retrieval.asked[-1]["query"] == ASKED["messages"][0]["content"]
    whole = client.chat.completions.create(**{**ASKED, "stream": False})
    assert whole.choices[0].message.content == ANSWER


def test_the_openai_package_reads_the_events_of_a_response(client: OpenAI) -> None:
    with client.responses.stream(model="tandem/rag", input=ASKED["messages"]) as stream:
        assert stream.get_final_response().output_text == ANSWER


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", ASKED),
        ("/v1/responses", {"model": "tandem/rag", "input": ASKED["messages"], "stream": True}),
    ],
)
def test_a_client_that_cuts_lines_as_python_does_reads_every_event(
    address: str, path: str, body: dict[str, Any]
) -> None:
    with httpx.stream("POST", address + path, json=body, headers=KEY, timeout=10) as response:
        data = [line[6:] for line in response.raise_for_status().iter_lines() if line.startswith("data: ")]
    events = [json.loads(event) for event in data if event != "[DONE]"]
    assert json.dumps(ANSWER[20:]) in json.dumps(events)


def test_the_command_prints_the_answer(address: str) -> None:
    environment = {**os.environ, "TANDEM_GATEWAY_URL": address, "TANDEM_API_KEY": "one"}
    question = ASKED["messages"][0]["content"]
    done = subprocess.run(
        [TANDEM, "ask", question, "--mode", "rag", "--stream"], env=environment, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().startswith(f"{ANSWER}\n")


def test_the_page_reads_the_answer(address: str) -> None:
    async def read() -> list[dict[str, Any]]:
        async with httpx.AsyncClient(base_url=address) as http:
            return [chunk async for chunk in Page(http, "one").ask("tandem/rag", ASKED["messages"])]

    chunks = asyncio.run(read())
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks) == ANSWER
    assert chunks[-1]["choices"][0]["delta"]["citations"][0]["supported"]


def test_an_error_on_the_way_is_an_event_that_every_client_reads(
    address: str, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.model, "breaks", True)
    monkeypatch.setattr(gateway.model, "reason", f"out of memory{SEPARATORS}again")
    with httpx.stream("POST", f"{address}/v1/chat/completions", json=ASKED, headers=KEY, timeout=10) as response:
        last = [line[6:] for line in response.iter_lines() if line.startswith("data: ")][-1]
    assert json.loads(last)["error"]["message"].endswith(f"out of memory{SEPARATORS}again")
