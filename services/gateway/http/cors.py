"""Pages of other origins: browsers let them call the API if `cors_origins` names their origin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

READABLE = [
    "retry-after",
    "openai-poll-after-ms",
    *(f"x-ratelimit-{what}-{unit}" for what in ("limit", "remaining", "reset") for unit in ("requests", "tokens")),
]
"""Headers of ours that a page may read beside the few that browsers always show."""


class CrossOriginApp(FastAPI):
    """An app that answers pages of `origins`; with an empty list, no page of another origin.

    This middleware must be the outermost: a preflight has no key, and a 401 and a 500 need the headers too. Keys are in
    the Authorization header, so credentials in the browser's sense (cookies) are never allowed.
    """

    def __init__(self, origins: Sequence[str], **options: Any) -> None:
        super().__init__(**options)
        self._origins = origins

    def build_middleware_stack(self) -> ASGIApp:
        inner = super().build_middleware_stack()
        if not self._origins:
            return inner
        return CORSMiddleware(
            inner,
            allow_origins=self._origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=READABLE,
        )
