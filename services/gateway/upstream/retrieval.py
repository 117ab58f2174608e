"""The gateway's client of the retrieval service."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from retrieval.filters import Filter, filter_body
from retrieval.model import Passage
from services.contracts.convert import passage_value
from services.contracts.retrieval import (
    AttributesRequest,
    ChunkBody,
    ChunksRequest,
    ChunksResponse,
    CollectionsResponse,
    DeleteRequest,
    DropStoreRequest,
    EmbeddingRequest,
    EmbeddingResponse,
    SearchRequest,
    SearchResponse,
)
from services.kit.errors import ApiError

Body = TypeVar("Body", bound=BaseModel)


@dataclass(frozen=True)
class Retrieved:
    """Passages for a question, best first, and which build of each store they come from."""

    query: str
    passages: tuple[Passage, ...]
    collections: dict[str, str]


class RetrievalClient:
    """Calls the retrieval service. Raises ApiError 503 where it does not answer."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def search(
        self,
        workspace_id: str,
        store_ids: Sequence[str],
        query: str,
        history: Sequence[str],
        top_k: int,
        file_ids: Sequence[str] | None = None,
        filters: Filter | None = None,
        score_threshold: float = 0.0,
    ) -> Retrieved:
        request = SearchRequest(
            workspace_id=workspace_id,
            store_ids=list(store_ids),
            query=query,
            history=list(history),
            top_k=top_k,
            file_ids=list(file_ids) if file_ids is not None else None,
            filters=filter_body(filters) if filters is not None else None,
            score_threshold=score_threshold,
        )
        response = SearchResponse.model_validate_json(await self._post("/search", request))
        passages = tuple(passage_value(body) for body in response.passages)
        return Retrieved(response.query, passages, response.collections)

    async def embed(self, texts: Sequence[str]) -> EmbeddingResponse:
        return EmbeddingResponse.model_validate_json(
            await self._post("/embeddings", EmbeddingRequest(texts=list(texts)))
        )

    async def delete_file(self, workspace_id: str, store_id: str, file_id: str, asked_at: float | None = None) -> None:
        """`asked_at` is when the user asked for it, in seconds since 1970; freshness is measured from that time."""
        named = {"workspace_id": workspace_id, "store_id": store_id, "file_id": file_id}
        await self._post("/points/delete", DeleteRequest(**named, asked_at=asked_at))

    async def set_attributes(self, workspace_id: str, store_id: str, file_id: str) -> None:
        """Let the index copy a file's attributes from the database."""
        request = AttributesRequest(workspace_id=workspace_id, store_id=store_id, file_id=file_id)
        await self._post("/points/attributes", request)

    async def chunks(self, workspace_id: str, store_id: str, file_id: str) -> list[ChunkBody]:
        """A file's chunks, in reading order."""
        request = ChunksRequest(workspace_id=workspace_id, store_id=store_id, file_id=file_id)
        return ChunksResponse.model_validate_json(await self._post("/points/read", request)).chunks

    async def drop_store(self, workspace_id: str, store_id: str) -> None:
        await self._post("/stores/drop", DropStoreRequest(workspace_id=workspace_id, store_id=store_id))

    async def collections(self, workspace_id: str, store_id: str) -> CollectionsResponse:
        """The builds of a store's index."""
        path = f"/collections/{quote(workspace_id, safe='')}/{quote(store_id, safe='')}"
        return CollectionsResponse.model_validate_json(await self._call("GET", path, None))

    async def _post(self, path: str, body: BaseModel) -> bytes:
        return await self._call("POST", path, body.model_dump_json())

    async def _call(self, method: str, path: str, content: str | None) -> bytes:
        headers = {"Content-Type": "application/json"}
        try:
            response = await self._http.request(method, path, content=content, headers=headers)
        except httpx.HTTPError as error:
            raise unavailable() from error
        if response.status_code != 200:
            raise _passed_on(response)
        return response.content


def best_of(found: Sequence[Retrieved], limit: int) -> list[Passage]:
    """The best passages for several queries: each chunk once, with its best score."""
    best: dict[str, Passage] = {}
    for passage in sorted((one for each in found for one in each.passages), key=lambda one: -one.score):
        best.setdefault(passage.chunk.id, passage)
    return list(best.values())[:limit]


def unavailable() -> ApiError:
    message = "The retrieval service does not answer, so no passages can be had; see `tandem status`."
    return ApiError(503, message, code="retrieval_unavailable", retry_after=5)


def _passed_on(response: httpx.Response) -> ApiError:
    """What the service says about the request. Its own failures get a message of the gateway, unless the user can
    correct them.
    """
    try:
        error = json.loads(response.content)["error"]
        if response.status_code >= 500 and error["code"] != "index_damaged":
            return unavailable()
        return ApiError(response.status_code, error["message"], code=error["code"], param=error.get("param"))
    except (ValueError, KeyError, TypeError):
        return unavailable()
