"""Publish and roll back while clients stream: nobody fails, nobody is answered by two versions."""

from __future__ import annotations

import secrets
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

from harness.platform import RunningPlatform
from services.database.engine import open_sessions
from services.database.tables import Version
from tests.support.notes import note
from training.weights.registry import write_manifest

QUESTION = "What does your ride plan include?"


@dataclass
class Load:
    """Streams answers from several clients until told to stop, and keeps what each of them saw."""

    platform: RunningPlatform
    clients: int
    tokens: int
    stop: threading.Event = field(default_factory=threading.Event)
    answers: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def run(self) -> list[threading.Thread]:
        threads = [threading.Thread(target=self._client) for _ in range(self.clients)]
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
            max_tokens=self.tokens,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"min_tokens": self.tokens},
        )
        finished, last = None, None
        for chunk in chunks:
            if first is None and chunk.choices[0].delta.content:
                first = time.monotonic()
            finished, last = last, chunk
        assert finished is not None
        assert last is not None
        assert first is not None
        waited, weights = first - started, finished.versions["weights"]
        return {"at": started, "wait": waited, "weights": weights, "tokens": last.usage.completion_tokens}


@pytest.fixture
def second_version(platform: RunningPlatform, tuned: str) -> Iterator[Version]:
    """Another version to publish: the base weights under a version's name, so that its answers differ."""
    other = secrets.token_hex(4)
    sessions = open_sessions(f"sqlite:///{platform.home}/tandem.db")
    with sessions() as session:
        first = session.scalars(select(Version).where(Version.name == tuned)).one()
    base = platform.home / "models" / "smollm2-135m-instruct"
    folder = Path(first.path).with_name(f"ver-{other}")
    shutil.copytree(base, folder)
    write_manifest(folder, first.base_model, "none")
    second = Version(
        id=f"ver-{other}",
        workspace_id="default",
        name=f"ft:smollm2-135m-instruct:{other}:2",
        base_model=first.base_model,
        path=str(folder),
        dataset_hash="none",
        template_fingerprint=first.template_fingerprint,
        settings={},
        status="candidate",
    )
    with sessions.begin() as session:
        session.add(second)
    yield second
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


@pytest.mark.parametrize(("clients", "tokens"), [(8, 100), pytest.param(16, 150, marks=pytest.mark.long)])
def test_publish_and_rollback_under_streaming_clients(
    platform: RunningPlatform, tuned: str, second_version: Version, clients: int, tokens: int
) -> None:
    load = Load(platform, clients, tokens)
    threads = load.run()
    try:
        with platform.http() as http:
            time.sleep(10.0)
            published_after = publish(http, second_version.name)
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
    assert {answer["tokens"] for answer in load.answers} == {tokens}
    assert len({answer["weights"] for answer in load.answers}) == 2
    usual = waits(load.answers, before=published_at - 5.0)
    during = waits(load.answers, after=published_at - 5.0)
    note(
        f"{len(load.answers)} answers of {tokens} tokens from {clients} clients, none failed; publish call "
        f"{published_after * 1000:.0f} ms, rollback call {rolled_back_after * 1000:.0f} ms; p95 and longest wait for "
        f"a first token {p95(usual):.2f} and {max(usual):.2f} s before, {p95(during):.2f} and {max(during):.2f} s "
        f"around the moves, added {max(0.0, p95(during) - p95(usual)):.2f} and {max(0.0, max(during) - max(usual)):.2f}"
    )
    late = [answer for answer in load.answers if published_at + 2 < answer["at"] < rolled_back_at - 1]
    assert {answer["weights"] for answer in late} == {second_version.id}


def waits(answers: list[dict[str, Any]], before: float = float("inf"), after: float = 0.0) -> list[float]:
    """The seconds to the first token of the answers that began then, the shortest first."""
    return sorted(answer["wait"] for answer in answers if after <= answer["at"] <= before)


def p95(ordered: list[float]) -> float:
    return ordered[int(0.95 * (len(ordered) - 1))]
