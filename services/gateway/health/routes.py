"""Is the gateway alive, and can it answer?"""

from __future__ import annotations

from typing import Any

import httpx
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from services.gateway.http.access import require
from services.gateway.http.callers import Caller

router = APIRouter(tags=["health"])


@router.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/ready")
async def ready(request: Request) -> JSONResponse:
    """200 where every part that an answer needs is ready, else 503; says how each part stands."""
    parts = await _parts(request.app.state)
    good = all(part["ready"] for part in parts.values())
    return JSONResponse({"ready": good, "parts": parts}, status_code=200 if good else 503)


@router.get("/v1/processes")
async def processes(request: Request, _caller: Caller = Depends(require("operate", counts="reads"))) -> dict[str, Any]:
    """The platform's parts and the slots of the generation service."""
    state = request.app.state
    parts = await _parts(state)
    slots = await _slots(state.generation)
    return {"object": "list", "data": [{"name": name, **part} for name, part in parts.items()], "slots": slots}


@router.get("/metrics")
def metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _parts(state: Any) -> dict[str, dict[str, Any]]:
    return {
        "database": await _database(state),
        "broker": await _broker(state),
        "retrieval": await _service(state.retrieval_http),
        "generation": await _service(state.generation),
    }


async def _database(state: Any) -> dict[str, Any]:
    def ask() -> None:
        with state.sessions() as session:
            session.execute(text("SELECT 1"))

    try:
        await run_in_threadpool(ask)
    except SQLAlchemyError as error:
        return {"ready": False, "detail": type(error).__name__}
    return {"ready": True, "detail": None}


async def _broker(state: Any) -> dict[str, Any]:
    try:
        await state.counters.ping()
    except (RedisError, OSError) as error:
        return {"ready": False, "detail": type(error).__name__}
    return {"ready": True, "detail": None}


async def _service(http: httpx.AsyncClient) -> dict[str, Any]:
    try:
        response = await http.get("/ready", timeout=3.0)
        content = response.json()
    except (httpx.HTTPError, ValueError) as error:
        return {"ready": False, "detail": f"does not answer ({type(error).__name__})"}
    detail = content.get("detail") or content.get("reason") if isinstance(content, dict) else None
    return {"ready": response.status_code == 200, "detail": detail}


async def _slots(generation: httpx.AsyncClient) -> list[Any]:
    try:
        response = await generation.get("/slots", timeout=3.0)
        response.raise_for_status()
        content = response.json()
    except (httpx.HTTPError, ValueError):
        return []
    return content if isinstance(content, list) else list(content.get("slots", []))
