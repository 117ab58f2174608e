"""How a slot that takes no new requests finishes the ones it has."""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Event

from services.generation.slots.starting import Running

POLL_SECONDS = 0.25


@dataclass(frozen=True)
class Patience:
    """Limits in seconds. `least` covers gateways that still hold an older routing table."""

    least: float
    most: float
    warm: float
    stop: float


def drain(engine: Running, patience: Patience, cancelled: Event) -> bool:
    """Wait until the engine has no request, at least `least`, at most `most`. True if it finished all its requests.

    An engine that does not report how many it has gets `most`.
    """
    begin = time.monotonic()
    if cancelled.wait(patience.least):
        return False
    while time.monotonic() - begin < patience.most:
        if engine.exit_reason() or engine.unfinished_requests() == 0:
            return True
        if cancelled.wait(POLL_SECONDS):
            return False
    return False
