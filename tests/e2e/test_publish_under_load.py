"""Publish and roll back while clients stream: nobody fails, nobody is answered by two versions."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAIError
from sqlalchemy import select

from services.database.engine import open_sessions
from services.database.tables import Version
from tests.figures import note
from tests.running import RunningPlatform
from training.registry import write_manifest

CLIENTS = 8
TOKENS = 100
QUESTION = "What does your ride plan include?"


@dataclass
class Load:
    """Streams answers from several clients until told to stop, and keeps what each of them saw."""

    platform: RunningPlatform
    stop: threading.Event = field(default_factory=threading.Event)
    answers: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def run(self) -> list[threading.Thread]:
        threads = [threading.Thread(target=self._client) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        return threads

    def _client(self) -> None:
        client = self.platform.openai()
        while not self.stop.is_set():
            try:
                self.answers.append(self._answer(client))
            except (OpenAIError, AssertionError, httpx.HTTPError) as error:
                self.failures.append(f"{type(error).__name__}: {error}")

    def _answer(self, client: Any) -> dict[str, Any]:
        started, first = time.monotonic(), None
        chunks = client.chat.completions.create(
            model="tandem/tuned",
            messages=[{"role": "user", "content": QUESTION}],
            max_tokens=TOKENS,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"min_tokens": TOKENS},
        )
        last = None
        for chunk in chunks:
            if first is None and chunk.choices[0].delta.content:
                first = time.monotonic()
            last = chunk
        assert last is not None
        assert first is not None
        waited, weights = first - started, last.versions["weights"]
        return {"at": started, "wait": waited, "weights": weights, "tokens": last.usage.completion_tokens}


@pytest.fixture
def second_version(platform: RunningPlatform, tuned: str) -> Iterator[str]:
    """Another version to publish: the base weights under a version's name, so that its answers differ."""
    sessions = open_sessions(f"sqlite:///{platform.home}/tandem.db")
    with sessions() as session:
        first = session.scalars(select(Version).where(Version.name == tuned)).one()
    base = platform.home / "models" / "smollm2-135m-instruct"
    folder = Path(first.path).with_name("ver-second")
    shutil.copytree(base, folder)
    write_manifest(folder, first.base_model, "none")
    name = "ft:smollm2-135m-instruct:second:2"
    with sessions.begin() as session:
        session.add(
            Version(
                id="ver-second",
                workspace_id="default",
                name=name,
                base_model=first.base_model,
                path=str(folder),
                dataset_hash="none",
                template_fingerprint=first.template_fingerprint,
                settings={},
                status="candidate",
            )
        )
    yield name
    with platform.http() as http:
        http.post(f"/v1/versions/{tuned}/publish")


def publish(http: httpx.Client, name: str, seconds: float = 300.0) -> float:
    """Publish a version, loading it first where needed. Returns the seconds of the publishing call itself."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        started = time.monotonic()
        response = http.post(f"/v1/versions/{name}/publish", json={"override": True, "reason": "no gate judged it"})
        if response.status_code == 200:
            return time.monotonic() - started
        assert response.status_code in (202, 409, 503), response.text
        time.sleep(1.0)
    raise AssertionError(f"{name} was not published within {seconds} s")


def test_publish_and_rollback_under_eight_streaming_clients(
    platform: RunningPlatform, tuned: str, second_version: str
) -> None:
    load = Load(platform)
    threads = load.run()
    try:
        with platform.http() as http:
            time.sleep(10.0)
            published_after = publish(http, second_version)
            published_at = time.monotonic()
            time.sleep(10.0)
            started = time.monotonic()
            assert http.post("/v1/versions/rollback").status_code == 200
            rolled_back_after, rolled_back_at = time.monotonic() - started, time.monotonic()
            time.sleep(10.0)
    finally:
        load.stop.set()
        for thread in threads:
            thread.join(timeout=120.0)
    assert load.failures == []
    assert {answer["tokens"] for answer in load.answers} == {TOKENS}
    assert len({answer["weights"] for answer in load.answers}) == 2
    usual = longest_wait(load.answers, before=published_at - 20.0)
    during = longest_wait(load.answers, after=published_at - 5.0)
    note(
        f"{len(load.answers)} answers of {TOKENS} tokens from {CLIENTS} clients, none failed; publish call "
        f"{published_after * 1000:.0f} ms, rollback call {rolled_back_after * 1000:.0f} ms; longest wait for a first "
        f"token {usual:.2f} s before, {during:.2f} s around the moves, added {max(0.0, during - usual):.2f} s"
    )
    late = [answer for answer in load.answers if published_at + 2 < answer["at"] < rolled_back_at - 1]
    assert {answer["weights"] for answer in late} == {"ver-second"}


def longest_wait(answers: list[dict[str, Any]], before: float = float("inf"), after: float = 0.0) -> float:
    return max((answer["wait"] for answer in answers if after <= answer["at"] <= before), default=0.0)
