"""HTTP routes of the generation service, for other services of the platform."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from services.contracts.generation import (
    CanaryEndRequest,
    CanaryRequest,
    LoadRequest,
    PublishRequest,
    PublishResponse,
    RollbackRequest,
    RoutingTable,
    SlotBody,
    UnloadRequest,
)
from services.generation.publishing.publisher import Order
from services.generation.service import Generation
from services.kit.errors import ApiError


def internal(generation: Generation) -> APIRouter:
    """Routes behind the service token."""
    router = APIRouter()

    @router.get("/routing")
    def routing() -> RoutingTable:
        return generation.table()

    @router.get("/slots")
    def slots() -> list[SlotBody]:
        return generation.fleet.rows()

    @router.post("/load", status_code=202)
    def load(request: LoadRequest) -> list[SlotBody]:
        generation.publisher.load(request.workspace_id, request.version_id, request.replace)
        return generation.fleet.rows()

    @router.post("/unload", status_code=202)
    def unload(request: UnloadRequest) -> list[SlotBody]:
        generation.publisher.unload(request.workspace_id, request.version_id)
        return generation.fleet.rows()

    @router.post("/publish")
    def publish(request: PublishRequest) -> PublishResponse:
        order = Order(request.why, request.by, request.reason, request.overrides)
        return generation.publisher.publish(request.workspace_id, request.version_id, order)

    @router.post("/rollback")
    def rollback(request: RollbackRequest, response: Response) -> PublishResponse | None:
        order = Order(by=request.by, reason=request.reason)
        moved = generation.publisher.roll_back(request.workspace_id, order)
        response.status_code = 200 if moved else 202
        return moved

    @router.post("/canary", status_code=202)
    def start_canary(request: CanaryRequest) -> list[SlotBody]:
        generation.publisher.start_canary(request)
        return generation.fleet.rows()

    @router.post("/canary/end")
    def end_canary(request: CanaryEndRequest) -> dict[str, bool]:
        return {"ended": generation.publisher.end_canary(request)}

    return router


def open_to_all(generation: Generation, metrics: CollectorRegistry) -> APIRouter:
    """Routes for health checks and Prometheus."""
    router = APIRouter()

    @router.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/ready")
    def ready() -> dict[str, str]:
        missing = generation.missing()
        if missing:
            raise ApiError(503, f"Not ready: {'; '.join(missing)}.", code="not_ready", retry_after=2)
        return {"status": "ready"}

    @router.get("/metrics")
    def show_metrics() -> Response:
        return Response(generate_latest(metrics), media_type=CONTENT_TYPE_LATEST)

    return router
