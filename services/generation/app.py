"""The generation service's web application.

The service owns the model servers of this machine, the routing table that says which of them serves what, and the row
that says which version is live. Its rooms: `engines/` starts and ends one model server, `slots/` runs the base, the
live and the spare slot side by side, `publishing/` moves versions between them and watches canaries.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from services.generation import routes
from services.generation.metrics import registry
from services.generation.publishing.canaries import CanaryRefused
from services.generation.publishing.publisher import NothingToRollBackTo, UnknownVersion
from services.generation.service import Generation
from services.generation.slots.slot import NotLoaded, SpareHeld
from services.kit import errors
from services.kit.auth import ServiceToken, authorization
from training.errors import DamagedWeights

ERRORS: list[tuple[type[Exception], int, str]] = [
    (UnknownVersion, 404, "unknown_version"),
    (SpareHeld, 409, "spare_held"),
    (NotLoaded, 409, "version_not_loaded"),
    (NothingToRollBackTo, 409, "nothing_to_roll_back_to"),
    (CanaryRefused, 409, "canary_refused"),
    (DamagedWeights, 409, "damaged_weights"),
]


def create_app(generation: Generation) -> FastAPI:
    """The app of one `Generation`. The app starts and stops it."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(generation.start)
        yield
        await run_in_threadpool(generation.stop)

    app = FastAPI(title="Tandem generation", lifespan=lifespan, openapi_url=None)
    app.add_middleware(ServiceToken, expected=authorization(generation.platform.service_token))
    errors.install(app, ERRORS)
    app.include_router(routes.internal(generation))
    app.include_router(routes.open_to_all(generation, registry(generation)))
    return app
