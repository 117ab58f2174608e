"""The dashboard's client of the public API; it uses nothing else."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from urllib.parse import urlencode

import httpx

from services.kit.events import read_events_async


class GatewayError(Exception):
    """What the gateway answered, in its words."""


class KeyRefused(GatewayError):
    """The gateway does not know the key, or not any more."""


class Gateway:
    """The public API with one person's key."""

    def __init__(self, http: httpx.AsyncClient, key: str) -> None:
        self._http, self._headers = http, {"Authorization": f"Bearer {key}"}

    async def models(self) -> list[str]:
        return [model["id"] for model in (await self._call("GET", "/v1/models"))["data"]]

    async def default_store(self) -> dict[str, Any]:
        """Raises GatewayError where the workspace has no default store."""
        async for store in self._every("/v1/vector_stores"):
            if store["metadata"].get("default") == "true":
                return store
        raise GatewayError("This workspace has no vector store yet; add documents with `tandem ingest`.")

    async def reindex(self, store_id: str) -> dict[str, Any]:
        return await self._call("POST", f"/v1/vector_stores/{store_id}/reindex")

    async def job(self, job_id: str) -> dict[str, Any]:
        return await self._call("GET", f"/v1/jobs/{job_id}")

    async def feedback(self, answer_id: str, rating: str) -> None:
        await self._call("POST", "/v1/feedback", {"answer_id": answer_id, "rating": rating})

    async def keys(self, workspace_id: str | None) -> list[dict[str, Any]]:
        """The keys of a workspace, or of this key's own."""
        where = {"workspace_id": workspace_id} if workspace_id else {}
        return [key async for key in self._every("/v1/keys", **where)]

    async def make_key(self, body: dict[str, Any]) -> dict[str, Any]:
        return await self._call("POST", "/v1/keys", body)

    async def revoke_key(self, key_id: str) -> dict[str, Any]:
        return await self._call("POST", f"/v1/keys/{key_id}/revoke")

    async def workspaces(self) -> list[dict[str, Any]]:
        """Raises GatewayError for a key that may not see other workspaces."""
        return [one async for one in self._every("/v1/workspaces")]

    async def make_workspace(self, name: str) -> dict[str, Any]:
        return await self._call("POST", "/v1/workspaces", {"name": name})

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

    async def _every(self, path: str, **parameters: str) -> AsyncGenerator[dict[str, Any], None]:
        """Every object of a list, page by page."""
        after: dict[str, str] = {}
        while True:
            page = await self._call("GET", f"{path}?{urlencode({'limit': 100, **parameters, **after})}")
            for one in page["data"]:
                yield one
            if not page["has_more"]:
                return
            after = {"after": page["last_id"]}

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            response = await self._http.request(method, path, json=body, headers=self._headers)
        except httpx.HTTPError as error:
            raise GatewayError(f"The gateway does not answer ({type(error).__name__}).") from error
        if response.status_code == 401:
            raise KeyRefused(_message(response.content))
        if response.status_code >= 400:
            raise GatewayError(_message(response.content))
        content: dict[str, Any] = response.json()
        return content


async def _events(response: httpx.Response) -> AsyncGenerator[dict[str, Any], None]:
    async for data in read_events_async(response):
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
