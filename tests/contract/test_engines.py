"""Every engine that fills a slot: starts, answers under the served name, ends on a stop token, leaves no process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest

from services.generation.engines.cores import allowed_cores
from services.generation.engines.engine import Engine
from services.generation.engines.process import EngineProcess, session_members
from services.generation.engines.transformers_engine import TransformersEngine
from services.generation.engines.vllm_engine import VllmEngine
from services.generation.settings import GenerationSettings
from services.generation.slots.starting import EngineStarter, Weights
from services.kit.events import read_events
from services.kit.http import client

pytestmark = pytest.mark.heavy

LIMIT = 60
CHAT = "/v1/chat/completions"


def question(**more: object) -> dict[str, object]:
    text = "What is the capital of France? Answer in one short sentence."
    return {
        "model": "base",
        "messages": [{"role": "user", "content": text}],
        "max_tokens": LIMIT,
        "temperature": 0,
    } | more


def events(response: httpx.Response) -> Iterator[dict[str, Any]]:
    for data in read_events(response):
        if data != "[DONE]":
            yield json.loads(data)


class EngineContract:
    """What the rest of the service relies on. A subclass names the engine. Tests run in order; the last stops it."""

    @staticmethod
    def engine(folder: Path) -> Engine:
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def slot(cls, tmp_path_factory: pytest.TempPathFactory, base_weights: Path) -> Iterator[EngineProcess]:
        folder = tmp_path_factory.mktemp("slots")
        bring_up = EngineStarter(cls.engine(folder), folder / "logs", start_seconds=180, stop_seconds=15)
        process = bring_up("slot-1", Weights(base_weights), allowed_cores(), Event())
        assert isinstance(process, EngineProcess)
        yield process
        process.stop(15)

    @pytest.fixture
    def http(self, slot: EngineProcess) -> Iterator[httpx.Client]:
        with client(slot.address, token="", timeout=120) as opened:
            yield opened

    def test_it_answers_under_the_served_name_and_ends_on_a_stop_token(self, http: httpx.Client) -> None:
        body = http.post(CHAT, json=question()).raise_for_status().json()
        (choice,) = body["choices"]
        assert "Paris" in choice["message"]["content"]
        assert choice["finish_reason"] == "stop"
        assert body["usage"]["completion_tokens"] < LIMIT
        assert "<|im_end|>" not in choice["message"]["content"]

    def test_it_streams_the_same_answer(self, http: httpx.Client) -> None:
        whole = http.post(CHAT, json=question()).raise_for_status().json()["choices"][0]["message"]["content"]
        with http.stream("POST", CHAT, json=question(stream=True)) as response:
            choices = [choice for event in events(response) for choice in event["choices"]]
        assert "".join(choice["delta"].get("content") or "" for choice in choices) == whole
        assert [choice["finish_reason"] for choice in choices if choice.get("finish_reason")] == ["stop"]

    def test_a_limit_on_tokens_is_kept_and_told(self, http: httpx.Client) -> None:
        body = http.post(CHAT, json=question(max_tokens=2)).raise_for_status().json()
        assert body["choices"][0]["finish_reason"] == "length"

    def test_it_refuses_a_name_that_it_does_not_serve(self, http: httpx.Client) -> None:
        assert http.post(CHAT, json=question(model="another")).status_code in (400, 404)

    def test_an_idle_engine_has_no_request_or_does_not_tell(self, slot: EngineProcess) -> None:
        assert slot.unfinished_requests() in (0, None)

    def test_it_stops_and_leaves_no_process(self, slot: EngineProcess) -> None:
        assert len(session_members(slot.pid)) >= 2
        slot.stop(15)
        assert session_members(slot.pid) == []
        assert slot.exit_reason() is not None


class TestVllm(EngineContract):
    @staticmethod
    def engine(folder: Path) -> Engine:
        return VllmEngine(GenerationSettings(), folder, "cpu")


class TestTransformers(EngineContract):
    @staticmethod
    def engine(folder: Path) -> Engine:
        return TransformersEngine(folder, "cpu")
