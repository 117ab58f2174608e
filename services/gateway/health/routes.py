"""Is the gateway alive, and can it answer?"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.gateway.health.health import Health
from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.gateway.http.parts import part

router = APIRouter(tags=["health"])
OPERATE = Depends(require("operate", counts="reads"))
HEALTH = part(Health)


@router.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/ready")
async def ready(health: Health = HEALTH) -> JSONResponse:
    """200 if every part that an answer needs is ready, otherwise 503. The body has the state of each part."""
    parts = await health.parts()
    good = all(part["ready"] for part in parts.values())
    return JSONResponse({"ready": good, "parts": parts}, status_code=200 if good else 503)


@router.get("/v1/processes")
async def processes(_caller: Caller = OPERATE, health: Health = HEALTH) -> dict[str, Any]:
    """The platform's parts and the slots of the generation service."""
    parts = await health.parts()
    data = [{"name": name, **part} for name, part in parts.items()]
    return {"object": "list", "data": data, "slots": await health.slots()}


@router.get("/metrics")
def metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
