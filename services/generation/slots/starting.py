"""How a slot starts: its weights are checked against their manifest, the engine starts and answers a known prompt."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Protocol

import httpx

from services.generation.engines.cores import Cores
from services.generation.engines.engine import Engine
from services.generation.engines.process import EngineProcess
from services.kit.http import client
from training.weights.registry import verify_manifest

KNOWN_PROMPT = "What is the capital of France?"
POLL_SECONDS = 0.2
ANSWER_SECONDS = 60.0


class SlotFailed(Exception):
    """A slot that did not start; the message says why."""


@dataclass(frozen=True)
class Weights:
    """What a slot serves. Base weights belong to no workspace and have no version."""

    folder: Path
    workspace_id: str | None = None
    version_id: str | None = None

    @property
    def model(self) -> str:
        """The name that the engine answers to."""
        return self.version_id or "base"


class Running(Protocol):
    """An engine that has started. `EngineProcess` is the real one."""

    address: str

    @property
    def pid(self) -> int: ...
    def exit_reason(self) -> str | None: ...
    def unfinished_requests(self) -> int | None: ...
    def pin(self, cores: Cores) -> None: ...
    def stop(self, seconds: float) -> None: ...


class BringUp(Protocol):
    """Starts an engine and returns it when it is fit to answer.

    Raises SlotFailed, or DamagedWeights, which names the tensor. Leaves no process behind when it raises.
    """

    def __call__(self, slot: str, weights: Weights, cores: Cores, cancelled: Event) -> Running: ...


class EngineStarter:
    """Starts real engines. `start_seconds` limits one start, `stop_seconds` the end of one that failed."""

    def __init__(self, engine: Engine, logs: Path, start_seconds: float, stop_seconds: float) -> None:
        self._engine, self._logs, self._start_seconds, self._stop_seconds = engine, logs, start_seconds, stop_seconds

    def __call__(self, slot: str, weights: Weights, cores: Cores, cancelled: Event) -> Running:
        if weights.version_id:
            verify_manifest(weights.folder)
        launch = self._engine.prepare(slot, weights.folder, weights.model, cores)
        process = EngineProcess(self._engine, launch, cores, self._logs / f"generation-{slot}.log")
        try:
            self._await_health(process, cancelled)
            ask_known_prompt(process.address, weights.model)
        except BaseException:
            process.stop(self._stop_seconds)
            raise
        return process

    def _await_health(self, process: EngineProcess, cancelled: Event) -> None:
        deadline = time.monotonic() + self._start_seconds
        while not healthy(process.address):
            reason = process.exit_reason()
            if reason:
                raise SlotFailed(reason)
            if time.monotonic() > deadline:
                raise SlotFailed(
                    f"The engine was not ready within {self._start_seconds:.0f} s; see its log, or raise "
                    "`start_timeout_seconds`."
                )
            if cancelled.wait(POLL_SECONDS):
                raise SlotFailed("The start was given up before the engine was ready.")


def healthy(address: str) -> bool:
    """Whether an engine's weights are loaded and it answers."""
    try:
        with client(address, token="", timeout=2) as http:
            return http.get("/health").status_code == 200
    except httpx.HTTPError:
        return False


def ask_known_prompt(address: str, model: str) -> str:
    """The engine's answer to a known prompt. Raises SlotFailed if it answers under another name, or not at all."""
    body = {"model": model, "messages": [{"role": "user", "content": KNOWN_PROMPT}], "max_tokens": 16, "temperature": 0}
    try:
        with client(address, token="", timeout=ANSWER_SECONDS) as http:
            answer = http.post("/v1/chat/completions", json=body).raise_for_status().json()
    except httpx.HTTPError as error:
        raise SlotFailed(f"The engine did not answer a known prompt: {error!r}.") from error
    text = str(answer["choices"][0]["message"]["content"] or "")
    if not text.strip():
        raise SlotFailed("The engine answered a known prompt with nothing; its weights or chat template are broken.")
    return text
