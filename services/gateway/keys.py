"""Who asks, and how much they may: API keys, scopes and limits.

Keys are stored as SHA-256 digests; a key has 256 random bits, so a slow hash adds nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import redis.asyncio
from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from redis.exceptions import RedisError
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from services.database.engine import Sessions
from services.database.keys import digest
from services.database.tables import ApiKey
from services.kit.errors import ApiError

log = logging.getLogger(__name__)
REMEMBER_SECONDS = 5.0
MOST_REMEMBERED = 10_000
BEARER = HTTPBearer(auto_error=False)  # for the OpenAPI document; the door has looked the key up by then


@dataclass(frozen=True)
class Caller:
    """The key behind a request. Its workspace is the only one that the request can see."""

    key_id: str
    workspace_id: str
    scopes: frozenset[str]
    requests_per_minute: int
    tokens_per_minute: int


class Keys:
    """Looks keys up, and remembers each for five seconds: a revoked key works that much longer."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._remembered: dict[str, tuple[float, Caller]] = {}

    async def caller(self, key: str) -> Caller:
        """Raises ApiError 401 for a key that is unknown or revoked."""
        known = self._remembered.get(digest(key))
        if known and known[0] > time.monotonic():
            return known[1]
        caller = await run_in_threadpool(self._find, digest(key))
        if caller is None:
            raise ApiError(401, "This API key is unknown or revoked.", code="invalid_api_key")
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[digest(key)] = (time.monotonic() + REMEMBER_SECONDS, caller)
        return caller

    def forget(self, key_id: str) -> None:
        """Look a key up anew at its next request: it was revoked."""
        kept = [(one, known) for one, known in list(self._remembered.items()) if known[1].key_id != key_id]
        self._remembered = dict(kept)

    def _find(self, key_digest: str) -> Caller | None:
        with self._sessions() as session:
            row = session.scalar(select(ApiKey).where(ApiKey.digest == key_digest, ApiKey.revoked_at.is_(None)))
        if row is None:
            return None
        scopes = frozenset(map(str, row.scopes))
        return Caller(row.id, row.workspace_id, scopes, row.requests_per_minute, row.tokens_per_minute)


class Limits:
    """Requests and tokens a minute for each key, counted in the broker so that every replica counts alike.

    While the broker does not answer, requests pass: a lost counter must not stop answers.
    """

    def __init__(self, counters: redis.asyncio.Redis) -> None:
        self._counters = counters

    async def admit(self, caller: Caller) -> None:
        """Count one request. Raises ApiError 429 above the key's limits."""
        minute, left = divmod(int(time.time()), 60)
        name = f"tandem:limits:{caller.key_id}:{minute}"
        try:
            async with self._counters.pipeline(transaction=False) as pipe:
                pipe.incr(f"{name}:requests").expire(f"{name}:requests", 120).get(f"{name}:tokens")
                requests, _, tokens = await pipe.execute()
        except (RedisError, OSError) as error:
            log.warning("limits are not counted: the broker does not answer (%s)", type(error).__name__)
            return
        for count, limit, what in (
            (int(requests), caller.requests_per_minute, "requests"),
            (int(tokens or 0) + 1, caller.tokens_per_minute, "tokens"),
        ):
            if count > limit:
                message = f"This key's limit of {limit} {what} a minute is used up; try again in {60 - left} seconds."
                raise ApiError(429, message, code="rate_limit_exceeded", retry_after=60 - left)

    async def spend(self, caller: Caller, tokens: int) -> None:
        """Count the tokens of an answer against the key's current minute."""
        name = f"tandem:limits:{caller.key_id}:{int(time.time()) // 60}:tokens"
        try:
            async with self._counters.pipeline(transaction=False) as pipe:
                await pipe.incrby(name, tokens).expire(name, 120).execute()
        except (RedisError, OSError):
            log.warning("tokens are not counted: the broker does not answer")


def key_of(authorization: str) -> str:
    """The key in an Authorization header; `Bearer` is in any case. Raises ApiError 401 where there is none."""
    scheme, _, key = authorization.strip().partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        message = "No API key. Send one as 'Authorization: Bearer KEY'; the first one lies in the home's secrets."
        raise ApiError(401, message, code="missing_api_key")
    return key.strip()


def require(scope: str) -> Callable[..., Awaitable[Caller]]:
    """A dependency: the caller whom the door let in, with the scope that the route needs."""

    async def check(request: Request, _shown: object = Depends(BEARER)) -> Caller:
        caller: Caller = request.state.caller
        if scope not in caller.scopes:
            raise ApiError(403, f"This key lacks the scope '{scope}'.", code="missing_scope")
        return caller

    return check
