"""A database that is away for a while: what may be done again is done again until it is back.

A lock that somebody holds, a server that starts anew, a folder that is not mounted: none of them is a reason to lose
hours of work. How long to wait is said where the sessions are opened; a process that answers people does not wait.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

log = logging.getLogger(__name__)
AWAY = (OperationalError, InterfaceError)
"""What a database raises if it is locked or not there."""
PAUSE_SECONDS = 1.0
Done = TypeVar("Done")


def outlast(act: Callable[[], Done], seconds: float, away: tuple[type[Exception], ...] = AWAY) -> Done:
    """Returns what `act` returns. While the database is away, `act` is called again, for this many seconds; it must do
    no harm when repeated.

    Raises what `act` raised last.
    """
    until, is_told = time.monotonic() + seconds, seconds == 0
    while True:
        try:
            return act()
        except away as error:
            if time.monotonic() >= until:
                raise
            if not is_told:
                what = getattr(error, "orig", error)  # without the statement and its values
                log.warning("the database is away, and is asked again for %g s: %s", seconds, what)
            is_told = True
        time.sleep(PAUSE_SECONDS)


def patience(sessions: sessionmaker[Session]) -> float:
    """Seconds that these sessions wait for a database that is away."""
    info: dict[str, Any] = sessions.kw.get("info") or {}
    return float(info.get("patience", 0.0))
