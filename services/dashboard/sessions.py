"""Who is signed in: API keys in this process's memory, by the browser's session id. Nothing of it is stored."""

from __future__ import annotations

import time

MOST_SESSIONS = 1000


class SignedIn:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._keys: dict[str, tuple[float, str]] = {}

    def remember(self, browser: str, key: str) -> None:
        if len(self._keys) >= MOST_SESSIONS:
            self._keys.pop(next(iter(self._keys)))
        self._keys[browser] = (time.monotonic() + self._seconds, key)

    def key(self, browser: str) -> str | None:
        """The key of a signed-in browser; using it keeps the session open."""
        until, key = self._keys.get(browser, (0.0, ""))
        if until < time.monotonic():
            self._keys.pop(browser, None)
            return None
        self.remember(browser, key)
        return key

    def forget(self, browser: str) -> None:
        self._keys.pop(browser, None)
