"""The dashboard's client of the public API; it uses nothing else."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import httpx

from services.kit.events import read_events_async


class GatewayError(Exception):
    """What the gateway answered, in its words."""


class Gateway:
    """The public API with one person's key."""

    def __init__(self, http: httpx.AsyncClient, key: str) -> None:
        self._http, self._headers = http, {"Authorization": f"Bearer {key}"}

    async def models(self) -> list[str]:
        return [model["id"] for model in (await self._call("GET", "/v1/models"))["data"]]

    async def default_store(self) -> dict[str, Any]:
        """Raises GatewayError where the workspace has no default store."""
        path = "/v1/vector_stores?limit=100"
        while path:
            page = await self._call("GET", path)
            for store in page["data"]:
                if store["metadata"].get("default") == "true":
                    found: dict[str, Any] = store
                    return found
            path = f"/v1/vector_stores?limit=100&after={page['last_id']}" if page["has_more"] else ""
        raise GatewayError("This workspace has no vector store yet; add documents with `tandem ingest`.")

    async def reindex(self, store_id: str) -> dict[str, Any]:
        return await self._call("POST", f"/v1/vector_stores/{store_id}/reindex")

    async def job(self, job_id: str) -> dict[str, Any]:
        return await self._call("GET", f"/v1/jobs/{job_id}")

    async def feedback(self, answer_id: str, rating: str) -> None:
        await self._call("POST", "/v1/feedback", {"answer_id": answer_id, "rating": rating})

    async def ask(self, model: str, messages: list[dict[str, str]]) -> AsyncGenerator[dict[str, Any], None]:
        """The chunks of an answer as they come."""
        body = {"model": model, "messages": messages, "stream": True}
        try:
            async with self._http.stream(
                "POST", "/v1/chat/completions", json=body, headers=self._headers, timeout=300.0
            ) as response:
                if response.status_code != 200:
                    raise GatewayError(_message(await response.aread()))
                async with aclosing(_events(response)) as events:
                    async for event in events:
                        yield event
        except httpx.HTTPError as error:
            raise GatewayError(f"The gateway does not answer ({type(error).__name__}).") from error

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            response = await self._http.request(method, path, json=body, headers=self._headers)
        except httpx.HTTPError as error:
            raise GatewayError(f"The gateway does not answer ({type(error).__name__}).") from error
        if response.status_code >= 400:
            raise GatewayError(_message(response.content))
        content: dict[str, Any] = response.json()
        return content


async def _events(response: httpx.Response) -> AsyncGenerator[dict[str, Any], None]:
    async for data in read_events_async(response.aiter_bytes()):
        if data != "[DONE]":
            event = json.loads(data)
            if "error" in event:
                raise GatewayError(event["error"]["message"])
            yield event


def _message(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return "The gateway's answer could not be read."
