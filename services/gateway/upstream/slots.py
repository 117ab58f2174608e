"""The gateway's client of generation: which slot serves what, and the stream of one answer's text."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from services.contracts.generation import Route, RoutingTable
from services.kit.errors import ApiError
from services.kit.events import read_events_async
from services.kit.http import async_client

log = logging.getLogger(__name__)
_closing: set[asyncio.Task[None]] = set()
MEASURE_SECONDS = 10.0
USAGE = {"include_usage": True, "continuous_usage_stats": True}
"""Counts with every piece: an answer that is ended early has them too."""
VLLM_ALONE = {"response_format", "logprobs", "presence_penalty", "min_tokens"}
NOTHING_SERVED = RoutingTable(epoch=-1, base=None, live={}, versions={}, loading=[])


TOO_LONG = ("context length", "too long", "maximum model length", "max_model_len")
"""What servers say of a prompt, or of an answer asked for, that is longer than the model's context."""


@dataclass(frozen=True)
class Piece:
    """A part of an answer as it arrives, with the token counts so far if the slot sends them. The last piece has the
    finish reason, always the counts and, if asked for, the log probabilities of all tokens, in OpenAI's shape.
    """

    text: str
    finish_reason: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    logprobs: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Size:
    """Tokens of a prompt, and of the model's whole context."""

    tokens: int
    context: int


class ContextExceeded(Exception):
    """The prompt does not fit the model's context."""


class SlotUnavailable(Exception):
    """The slot refused the connection or broke off before its first piece."""


class Slots:
    """The routing table, read again every `refresh` seconds and after an error, and one HTTP client for each slot
    address.

    `connect` makes the client of an address; a test passes its own.
    """

    def __init__(
        self,
        generation: httpx.AsyncClient,
        refresh: float,
        timeout: float,
        connect: Callable[[str], httpx.AsyncClient] | None = None,
    ) -> None:
        self._generation, self._refresh, self._timeout = generation, refresh, timeout
        self._table, self._read_at = NOTHING_SERVED, float("-inf")
        self._connect = connect or (lambda address: async_client(address, "", timeout))
        self._clients: dict[str, httpx.AsyncClient] = {}
        self._contexts: dict[str, int] = {}
        self._lock = asyncio.Lock()

    async def table(self, fresh: bool = False) -> RoutingTable:
        """The routing table, at most `refresh` seconds old. Raises ApiError 503 if none was ever read."""
        if fresh or time.monotonic() - self._read_at > self._refresh:
            async with self._lock:
                if fresh or time.monotonic() - self._read_at > self._refresh:
                    await self._read()
        return self._table

    async def _read(self) -> None:
        try:
            response = await self._generation.get("/routing", timeout=5.0)
            response.raise_for_status()
            self._table = RoutingTable.model_validate_json(response.content)
            await self._forget_addresses()
        except (httpx.HTTPError, ValueError) as error:
            if self._table is NOTHING_SERVED:
                message = "The generation service does not answer; see `tandem status`."
                raise ApiError(503, message, code="generation_unavailable", retry_after=5) from error
            log.warning("the routing table was not refreshed: %s", error)
        self._read_at = time.monotonic()

    async def _forget_addresses(self) -> None:
        table = self._table
        routes = [*filter(None, [table.base]), *table.live.values(), *table.versions.values()]
        for address in set(self._clients) - {route.address for route in routes}:
            client = self._clients.pop(address)
            self._contexts.pop(address, None)
            asyncio.get_running_loop().call_later(self._timeout, _close, client)

    async def load(self, workspace_id: str, version_id: str, replace: bool) -> None:
        """Ask generation to load a version into the spare slot; it may answer that the spare slot is taken."""
        body = {"workspace_id": workspace_id, "version_id": version_id, "replace": replace}
        with contextlib.suppress(httpx.HTTPError):
            await self._generation.post("/load", json=body)

    async def order(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Send an operator's order to generation; returns its status and answer. Raises ApiError 503 if it is down."""
        try:
            response = await self._generation.post(path, json=body)
            content = response.json()
        except (httpx.HTTPError, ValueError) as error:
            message = "The generation service does not answer; see `tandem status`."
            raise ApiError(503, message, code="generation_unavailable", retry_after=5) from error
        self._read_at = float("-inf")
        return response.status_code, content

    async def stream(self, route: Route, body: dict[str, Any]) -> AsyncGenerator[Piece, None]:
        """The pieces of one answer, straight from the slot. Closing the iterator frees the slot at once.

        Raises ContextExceeded; SlotUnavailable before the first piece; ApiError for any other error of the slot, and if
        it does not answer within the timeout.
        """
        _check(route, body)
        client = self._client(route)
        payload = {**body, "model": route.model, "stream": True, "stream_options": USAGE}
        try:
            async with client.stream("POST", "/v1/chat/completions", json=payload) as response:
                if response.status_code != 200:
                    raise _refusal(response.status_code, (await response.aread()).decode(errors="replace"))
                async for piece in _pieces(response):
                    yield piece
        except (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError) as error:
            raise SlotUnavailable(f"slot {route.slot}: {type(error).__name__}") from error
        except httpx.TimeoutException as error:
            message = f"The model said nothing for {self._timeout:.0f} s; ask again, or ask for less."
            raise ApiError(504, message, code="model_timeout") from error

    def context(self, route: Route) -> int | None:
        """The longest context of the slot's model in tokens; None until a prompt was measured there."""
        return self._contexts.get(route.address)

    async def size(self, route: Route, messages: Sequence[dict[str, str]]) -> Size | None:
        """How long a prompt is for the slot's model; None if its server counts no tokens, or counts wrongly."""
        if route.engine != "vllm":
            return None
        asked = {"model": route.model, "messages": list(messages)}
        try:
            response = await self._client(route).post("/tokenize", json=asked, timeout=MEASURE_SECONDS)
            counted = response.raise_for_status().json()
            size = Size(int(counted["count"]), int(counted["max_model_len"]))
        except (httpx.HTTPError, ValueError, LookupError, TypeError):
            return None  # the answer itself will tell what is wrong
        self._contexts[route.address] = size.context
        return size

    def _client(self, route: Route) -> httpx.AsyncClient:
        client = self._clients.get(route.address)
        if client is None:
            client = self._clients[route.address] = self._connect(route.address)
        return client

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()


def _close(client: httpx.AsyncClient) -> None:
    task = asyncio.ensure_future(client.aclose())
    _closing.add(task)
    task.add_done_callback(_closing.discard)


def _check(route: Route, body: dict[str, Any]) -> None:
    """Raises ApiError 400 for a wish that the slot's engine would accept and ignore."""
    if route.engine == "transformers":
        for name in sorted(VLLM_ALONE & body.keys()):
            message = f"{name}: '{route.model}' is served by transformers, which cannot do it; leave it out."
            raise ApiError(400, message, code="invalid_value", param=name)


async def _pieces(response: httpx.Response) -> AsyncIterator[Piece]:
    finish, counts, logprobs = None, (0, 0), list[dict[str, Any]]()
    async for data in read_events_async(response):
        if data == "[DONE]":
            continue
        event = json.loads(data)
        if "error" in event:
            raise _broken_off(event["error"], data)
        if usage := event.get("usage"):
            counts = usage["prompt_tokens"], usage["completion_tokens"]
        for choice in event.get("choices") or []:
            finish = choice.get("finish_reason") or finish
            logprobs += (choice.get("logprobs") or {}).get("content") or []
            if text := choice.get("delta", {}).get("content"):
                yield Piece(text, None, *counts)
    yield Piece("", finish or "stop", *counts, tuple(logprobs))


def _broken_off(error: dict[str, Any], data: str) -> Exception:
    """The error in an event that ends a stream. vLLM sends some refusals this way, after a status 200: for example of a
    schema.
    """
    status = error.get("code")
    if isinstance(status, int) and 400 <= status < 500:
        return _refusal(status, data)
    return ApiError(502, f"The model broke off: {error.get('message', 'no reason')}", code="model_failed")


def _refusal(status: int, text: str) -> Exception:
    try:
        content = json.loads(text)
        error = content.get("error") or content
        message, param = str(error.get("message", text)), error.get("param")
    except (ValueError, AttributeError):
        message, param = text, None
    if status == 400 and any(words in message for words in TOO_LONG):
        return ContextExceeded(message)
    if status >= 500:
        return SlotUnavailable(f"status {status}")  # its words may quote the prompt; the engine's log has them
    if message.startswith("Grammar error"):
        param = "response_format"
    what = f"{param}: " if param else ""
    return ApiError(status, f"{what}The model refused the request: {message[:500]}", code="model_refused", param=param)
