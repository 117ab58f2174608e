"""The retrieval service's routes. Each reads its body, calls one function and returns one body.

They are plain functions, so that embedding and searching run in worker threads and never block the event loop.
"""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from services.contracts.convert import chunk_body
from services.contracts.retrieval import (
    AttributesRequest,
    ChunksRequest,
    ChunksResponse,
    CollectionsResponse,
    DeleteRequest,
    DropCollectionRequest,
    DropStoreRequest,
    EmbeddingRequest,
    EmbeddingResponse,
    IndexResponse,
    SearchRequest,
    SwitchRequest,
    SwitchResponse,
    TidyRequest,
    TidyResponse,
    UpsertRequest,
    UpsertResponse,
)
from services.retrieval.parts import Parts


def build_router(parts: Parts) -> APIRouter:
    router = APIRouter()
    for routes in (_open_routes, _service_routes, _point_routes, _collection_routes):
        router.include_router(routes(parts))
    return router


def _open_routes(parts: Parts) -> APIRouter:
    router = APIRouter()

    @router.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/ready")
    def ready() -> dict[str, str]:
        return parts.readiness()

    @router.get("/metrics")
    def metrics() -> Response:
        return Response(parts.metrics.text(len(parts.collections)), media_type=CONTENT_TYPE_LATEST)

    return router


def _service_routes(parts: Parts) -> APIRouter:
    router = APIRouter()

    @router.post("/search")
    def search(body: SearchRequest) -> Response:
        found = parts.answers.search(body)
        parts.metrics.searched(found.timings_ms)
        return Response(found.model_dump_json(), media_type="application/json")  # else FastAPI checks it once more

    @router.post("/embeddings")
    def embeddings(body: EmbeddingRequest) -> EmbeddingResponse:
        return parts.embed(body)

    return router


def _collection_routes(parts: Parts) -> APIRouter:
    router = APIRouter()

    @router.post("/collections/switch")
    def switch(body: SwitchRequest) -> SwitchResponse:
        return parts.switching.switch(body)

    @router.post("/collections/drop")
    def drop_collection(body: DropCollectionRequest) -> UpsertResponse:
        parts.switching.drop(body)
        return UpsertResponse(count=0)

    @router.post("/stores/drop")
    def drop_store(body: DropStoreRequest) -> UpsertResponse:
        parts.points.drop_store(body)
        return UpsertResponse(count=0)

    @router.post("/stores/tidy")
    def tidy(body: TidyRequest) -> TidyResponse:
        return parts.tidying.tidy(body)

    @router.get("/index")
    def index() -> IndexResponse:
        return IndexResponse(embedded=parts.embedded)

    @router.get("/collections/{workspace_id}/{store_id}")
    def collections(workspace_id: str, store_id: str) -> CollectionsResponse:
        return parts.overview(workspace_id, store_id)

    return router


def _point_routes(parts: Parts) -> APIRouter:
    router = APIRouter()

    @router.post("/points")
    def upsert(body: UpsertRequest) -> UpsertResponse:
        with parts.metrics.counting_refusals():
            count = parts.points.upsert(body)
        parts.metrics.written(len(body.points))
        if body.last and not body.collection_id:
            parts.metrics.became_searchable(body.asked_at)
        return UpsertResponse(count=count)

    @router.post("/points/delete")
    def delete(body: DeleteRequest) -> UpsertResponse:
        parts.points.delete(body)
        parts.metrics.was_purged(body.asked_at)
        return UpsertResponse(count=0)

    @router.post("/points/attributes")
    def set_attributes(body: AttributesRequest) -> UpsertResponse:
        parts.points.set_attributes(body)
        return UpsertResponse(count=0)

    @router.post("/points/read")
    def read(body: ChunksRequest) -> ChunksResponse:
        return ChunksResponse(chunks=[chunk_body(chunk) for chunk in parts.points.read(body)])

    return router
