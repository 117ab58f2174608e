"""The state of each part that an answer needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import redis.asyncio
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from services.database.engine import Sessions


@dataclass(frozen=True)
class Health:
    """Asks the database, the broker and the two services."""

    sessions: Sessions
    counters: redis.asyncio.Redis
    retrieval: httpx.AsyncClient
    generation: httpx.AsyncClient

    async def parts(self) -> dict[str, dict[str, Any]]:
        """For each part, by name, whether it is `ready`, and a `detail` in words if there is one."""
        return {
            "database": await self._database(),
            "broker": await self._broker(),
            "retrieval": await _service(self.retrieval),
            "generation": await _service(self.generation),
        }

    async def slots(self) -> list[Any]:
        """The slots of the generation service; none if it does not answer."""
        try:
            response = await self.generation.get("/slots", timeout=3.0)
            response.raise_for_status()
            content = response.json()
        except (httpx.HTTPError, ValueError):
            return []
        return content if isinstance(content, list) else list(content.get("slots", []))

    async def _database(self) -> dict[str, Any]:
        def ask() -> None:
            with self.sessions() as session:
                session.execute(text("SELECT 1"))

        try:
            await run_in_threadpool(ask)
        except SQLAlchemyError as error:
            return {"ready": False, "detail": type(error).__name__}
        return {"ready": True, "detail": None}

    async def _broker(self) -> dict[str, Any]:
        try:
            await self.counters.ping()
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
