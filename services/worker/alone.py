"""Runs one of many pieces of work so that its failure does not stop the others."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


@contextmanager
def alone(what: str) -> Iterator[None]:
    """A failure in this block is written to the log, and the caller continues."""
    try:
        yield
    except Exception:
        log.exception("%s failed; the rest goes on", what)
