"""API keys, and the callers behind them.

Keys are stored as SHA-256 digests. A key has 256 random bits, so a slow hash would add nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from services.database.engine import Sessions
from services.database.tables import ApiKey
from services.domain.keys import digest
from services.kit.errors import ApiError

REMEMBER_SECONDS = 5.0
MOST_REMEMBERED = 10_000


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
        """Look a revoked key up again at its next request."""
        kept = [(one, known) for one, known in list(self._remembered.items()) if known[1].key_id != key_id]
        self._remembered = dict(kept)

    def _find(self, key_digest: str) -> Caller | None:
        with self._sessions() as session:
            row = session.scalar(select(ApiKey).where(ApiKey.digest == key_digest, ApiKey.revoked_at.is_(None)))
        if row is None:
            return None
        scopes = frozenset(map(str, row.scopes))
        return Caller(row.id, row.workspace_id, scopes, row.requests_per_minute, row.tokens_per_minute)


def key_of(authorization: str) -> str:
    """The key in an Authorization header; `Bearer` may be in any case. Raises ApiError 401 if there is none."""
    scheme, _, key = authorization.strip().partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        message = "No API key. Send one as 'Authorization: Bearer KEY'; the first one lies in the home's secrets."
        raise ApiError(401, message, code="missing_api_key")
    return key.strip()
