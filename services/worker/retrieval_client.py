"""The workers' client of the retrieval service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import httpx
from pydantic import BaseModel

from retrieval.errors import IndexUnavailable, StaleRevision
from retrieval.index.port import CollectionRef
from retrieval.model import FileRef, Passage, Point
from services.contracts.convert import passage_value, point_body
from services.contracts.retrieval import (
    DeleteRequest,
    DropCollectionRequest,
    IndexResponse,
    SearchRequest,
    SearchResponse,
    SwitchRequest,
    SwitchResponse,
    UpsertRequest,
    UpsertResponse,
)


class RetrievalWriter:
    """Sends points and orders. Raises IndexUnavailable where the service does not do what it is asked."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def embedded(self) -> bool:
        """Whether the service opens collections that a builder leaves as folders under the index folder."""
        return IndexResponse.model_validate_json(self._call("GET", "/index")).embedded

    def upsert(
        self,
        source: FileRef,
        embedder: str,
        points: Sequence[Point],
        per_request: int,
        collection_id: str | None = None,
    ) -> int:
        """Write one revision of a file, in parts, to the live collection or to one that is being built.

        Returns how many points of it the collection holds.
        Raises StaleRevision where the database wants another revision by now.
        """
        parts = [points[start : start + per_request] for start in range(0, len(points), per_request)]
        count = 0
        for number, part in enumerate(parts, start=1):
            request = UpsertRequest(
                workspace_id=source.workspace_id,
                store_id=source.store_id,
                file_id=source.file_id,
                revision=source.revision,
                embedder=embedder,
                points=[point_body(point) for point in part],
                last=number == len(parts),
                collection_id=collection_id,
            )
            count = UpsertResponse.model_validate_json(self._post("/points", request)).count
        return count

    def switch(self, request: SwitchRequest) -> SwitchResponse:
        return SwitchResponse.model_validate_json(self._post("/collections/switch", request))

    def delete_file(self, workspace_id: str, store_id: str, file_id: str) -> None:
        """Remove every revision of a file from a store's index."""
        request = DeleteRequest(workspace_id=workspace_id, store_id=store_id, file_id=file_id)
        self._post("/points/delete", request)

    def drop(self, ref: CollectionRef) -> None:
        """Give a build up; one that is live, or was, stays."""
        self._post("/collections/drop", DropCollectionRequest(**asdict(ref)))

    def search(self, request: SearchRequest) -> list[Passage]:
        response = SearchResponse.model_validate_json(self._post("/search", request))
        return [passage_value(body) for body in response.passages]

    def _post(self, path: str, body: BaseModel) -> bytes:
        return self._call("POST", path, body.model_dump_json())

    def _call(self, method: str, path: str, content: str | None = None) -> bytes:
        try:
            response = self._http.request(method, path, content=content, headers={"Content-Type": "application/json"})
        except httpx.HTTPError as error:
            raise IndexUnavailable(f"the retrieval service does not answer ({type(error).__name__})") from error
        if response.status_code == 409:
            raise StaleRevision(response.json()["error"]["message"])
        if response.status_code != 200:
            raise IndexUnavailable(f"the retrieval service refused {path}: {response.text[:500]}")
        return response.content
