"""The workers' client of the retrieval service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import httpx
from pydantic import BaseModel

from retrieval.errors import (
    EmbedderMismatch,
    IndexDamaged,
    IndexUnavailable,
    RecallTooLow,
    RecipeChanged,
    RetrievalError,
    StaleRevision,
)
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
    TidyRequest,
    TidyResponse,
    UpsertRequest,
    UpsertResponse,
)

if TYPE_CHECKING:  # it brings the splitters and the engine, 50 MB that a worker without an embedder does not need
    from retrieval.index.recipe import Recipe

REFUSALS: dict[str, type[RetrievalError]] = {
    "stale_revision": StaleRevision,
    "recipe_changed": RecipeChanged,
    "recall_too_low": RecallTooLow,
    "embedder_mismatch": EmbedderMismatch,
    "index_damaged": IndexDamaged,
}
"""The errors that callers tell apart, by the code that the service gives them."""


class RetrievalDown(IndexUnavailable):
    """The service is not running; it restarts by itself, and then does what it is asked."""


class RetrievalWriter:
    """Sends points and orders.

    Raises RetrievalDown if the service does not answer, IndexUnavailable if it does not do what it is asked.
    """

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def embedded(self) -> bool:
        """Whether the service opens collections that a builder leaves as folders under the index folder."""
        return IndexResponse.model_validate_json(self._call("GET", "/index")).embedded

    def upsert(
        self,
        source: FileRef,
        recipe: Recipe,
        points: Sequence[Point],
        per_request: int,
        collection_id: str | None = None,
        asked_at: float | None = None,
    ) -> int:
        """Write one revision of a file, in parts, to the live collection or to one beside it.

        Returns how many points of it the collection holds. `asked_at` is when a user asked for it, in seconds since
        1970. Raises StaleRevision if the database now wants another revision, RecipeChanged if the collection that now
        answers was made differently.
        """
        parts = [points[start : start + per_request] for start in range(0, len(points), per_request)] or [[]]
        count = 0
        for number, part in enumerate(parts, start=1):
            request = UpsertRequest(
                workspace_id=source.workspace_id,
                store_id=source.store_id,
                file_id=source.file_id,
                revision=source.revision,
                embedder=recipe.embedder,
                settings=recipe.settings(),
                points=[point_body(point) for point in part],
                first=number == 1,
                last=number == len(parts),
                collection_id=collection_id,
                asked_at=asked_at,
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
        """Drop a build; one that is or was live stays."""
        self._post("/collections/drop", DropCollectionRequest(**asdict(ref)))

    def tidy(self, request: TidyRequest) -> TidyResponse:
        return TidyResponse.model_validate_json(self._post("/stores/tidy", request))

    def search(self, request: SearchRequest) -> list[Passage]:
        response = SearchResponse.model_validate_json(self._post("/search", request))
        return [passage_value(body) for body in response.passages]

    def _post(self, path: str, body: BaseModel) -> bytes:
        return self._call("POST", path, body.model_dump_json())

    def _call(self, method: str, path: str, content: str | None = None) -> bytes:
        try:
            response = self._http.request(method, path, content=content, headers={"Content-Type": "application/json"})
        except httpx.HTTPError as error:
            raise RetrievalDown(f"the retrieval service does not answer ({type(error).__name__})") from error
        if response.status_code != 200:
            raise _refusal(path, response)
        return response.content


def _refusal(path: str, response: httpx.Response) -> Exception:
    try:
        error = response.json()["error"]
        message, code = str(error["message"]), str(error["code"])
    except (ValueError, KeyError, TypeError):
        return IndexUnavailable(f"the retrieval service refused {path}: {response.text[:500]}")
    kind = REFUSALS.get(code)
    return kind(message) if kind else IndexUnavailable(f"the retrieval service refused {path}: {message[:500]}")
