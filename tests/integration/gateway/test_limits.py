"""The limits of a key, while the broker that counts them is away."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from services.gateway.http.callers import Caller
from services.gateway.http.limits import Limits
from services.kit.queue import redis_client


def test_a_broker_that_is_away_lets_requests_pass_and_holds_none_up(tmp_path: Path) -> None:
    caller = Caller("key-1", "w1", frozenset({"ask"}), requests_per_minute=1, tokens_per_minute=1)
    limits = Limits(redis_client(f"redis+socket://{tmp_path}/no-broker"), reads_per_minute=1)

    async def ask() -> None:
        for _ in range(5):
            assert (await limits.admit(caller, "requests")).refusal is None
            await limits.spend(caller, 100)

    started = time.monotonic()
    asyncio.run(ask())
    assert time.monotonic() - started < 2.0
