"""The operator's pages, on a FastAPI app of their own.

The service owns browser sessions and nothing else: whatever a page shows or changes goes through the public API, by
`gateway.py`. `pages.py` has the pages, `keys.py` that of keys and workspaces, `dialogs.py` the questions they ask.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI
from nicegui import ui

from services.dashboard.origin import SameOrigin
from services.dashboard.pages import register
from services.dashboard.sessions import SignedIn
from services.dashboard.settings import DashboardSettings


def create_app(settings: DashboardSettings, gateway: httpx.AsyncClient, secret: str) -> FastAPI:
    """The app. `secret` signs the browser's session id."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await gateway.aclose()

    app = FastAPI(title="Tandem dashboard", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(SameOrigin)

    @app.get("/health")
    @app.get("/ready")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    register(gateway, SignedIn(settings.session_hours * 3600))
    cookie = {"https_only": False, "same_site": "strict"}
    ui.run_with(
        app, title="Tandem", storage_secret=secret, show_welcome_message=False, session_middleware_kwargs=cookie
    )
    return app
