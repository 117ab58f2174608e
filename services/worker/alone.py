"""One thing of many that fails, and stops no other."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


@contextmanager
def alone(what: str) -> Iterator[None]:
    """What is done in here fails for itself: the log has why, and the caller goes on."""
    try:
        yield
    except Exception:
        log.exception("%s failed; the rest goes on", what)
