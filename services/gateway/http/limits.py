"""Limits on how much a key may do in a minute.

Each request counts against one of three limits, which its route names: `requests` asks a model, the embedder or the
index; `writes` changes or starts something; `reads` only looks at the state of something. So an ingest, or waiting for
one, does not use up what questions need.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import redis.asyncio
from redis.exceptions import RedisError

from services.gateway.http.callers import Caller
from services.kit.errors import ApiError

log = logging.getLogger(__name__)
Bucket = Literal["requests", "writes", "reads"]
KEPT_SECONDS = 120


@dataclass(frozen=True)
class Standing:
    """The state of a key's limits after this request: OpenAI's headers, and the 429 if a limit is used up."""

    headers: Mapping[str, str] = field(default_factory=dict)
    refusal: ApiError | None = None


class Limits:
    """Counts requests and tokens of each key in the broker, so that all replicas share the counts.

    `reads_per_minute` is the limit of reads for each key. While the broker does not answer, requests pass: a lost
    counter must not stop answers.
    """

    def __init__(self, counters: redis.asyncio.Redis, reads_per_minute: int) -> None:
        self._counters, self._reads_per_minute = counters, reads_per_minute

    async def admit(self, caller: Caller, bucket: Bucket) -> Standing:
        """Count one request."""
        minute, past = divmod(int(time.time()), 60)
        name = f"tandem:limits:{caller.key_id}:{minute}"
        try:
            async with self._counters.pipeline(transaction=False) as pipe:
                pipe.incr(f"{name}:{bucket}").expire(f"{name}:{bucket}", KEPT_SECONDS).get(f"{name}:tokens")
                counted, _, tokens = await pipe.execute()
        except (RedisError, OSError) as error:
            log.warning("limits are not counted: the broker does not answer (%s)", type(error).__name__)
            return Standing()
        count, spent, left = int(counted), int(tokens or 0), 60 - past
        if bucket != "requests":
            limit = self._limit(caller, bucket)
            return Standing(refusal=_used_up(limit, bucket, left) if count > limit else None)
        return _standing(caller, count, spent, left)

    def _limit(self, caller: Caller, bucket: Bucket) -> int:
        own = caller.requests_per_minute
        return max(own, self._reads_per_minute) if bucket == "reads" else own

    async def spend(self, caller: Caller, tokens: int) -> None:
        """Count the tokens of an answer against the key's current minute."""
        name = f"tandem:limits:{caller.key_id}:{int(time.time()) // 60}:tokens"
        try:
            async with self._counters.pipeline(transaction=False) as pipe:
                await pipe.incrby(name, tokens).expire(name, KEPT_SECONDS).execute()
        except (RedisError, OSError):
            log.warning("tokens are not counted: the broker does not answer")


def _standing(caller: Caller, count: int, spent: int, left: int) -> Standing:
    """`left` is how many seconds the minute still has."""
    headers, refusal = dict[str, str](), None
    for what, limit, used, is_over in (
        ("requests", caller.requests_per_minute, count, count > caller.requests_per_minute),
        ("tokens", caller.tokens_per_minute, spent, spent >= caller.tokens_per_minute),
    ):
        headers[f"x-ratelimit-limit-{what}"] = str(limit)
        headers[f"x-ratelimit-remaining-{what}"] = str(max(0, limit - used))
        headers[f"x-ratelimit-reset-{what}"] = f"{left}s"
        if is_over:
            refusal = refusal or _used_up(limit, what, left)
    return Standing(headers, refusal)


def _used_up(limit: int, what: str, left: int) -> ApiError:
    message = f"This key's limit of {limit} {what} a minute is used up; try again in {left} seconds."
    return ApiError(429, message, code="rate_limit_exceeded", retry_after=left)
