"""The gateway: the public API, and the only way in. It owns keys, stores, files, examples, versions and the journal, as
rows of the database. It does not retrieve, generate or train.

Shared by all rooms:

- `http`: what every request passes first (key, address, body), limits, pages of lists, and what bodies have in common
- `upstream`: clients of the retrieval service and of the slots that models answer from
- `parts`: everything that the routes call, made once

A room has its `routes`, the bodies that clients send in `schemas`, the bodies of answers in `bodies`, and its rules in
a module with the room's name:

- `answering`: how a question becomes an answer, in either shape of the API
- `chat`, `responses`: the two shapes of OpenAI's API for questions
- `models`: the model names that answer now
- `embeddings`: vectors of texts
- `files`: uploads
- `stores`: vector stores, their files, batches of files, and the index of each
- `sources`: folders, sites and buckets that a store follows
- `embedders`: tuned weights of the embedder
- `data_sets`: examples, frozen and examined before any training
- `fine_tuning`: runs of training
- `schedules`: runs at times, under conditions
- `versions`: weights, and which of them are live
- `journal`: the record of every answer
- `feedback`: verdicts on answers, and the examples that they propose
- `examples`: the review queue, and the files that approved examples are frozen into
- `lineage`: the data sets and versions that contain a text
- `jobs`: what the workers are doing, and the way to their queues
- `keys`: keys and workspaces
- `health`: whether the platform can answer
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from retrieval.errors import SourceRefused
from services.domain.examples import TooFewExamples
from services.domain.jobs import UnknownJob, WrongJobState
from services.gateway.chat import routes as chat
from services.gateway.data_sets import routes as data_sets
from services.gateway.embedders import routes as embedders
from services.gateway.embeddings import routes as embeddings
from services.gateway.examples import routes as examples
from services.gateway.feedback import routes as feedback
from services.gateway.files import routes as files
from services.gateway.fine_tuning import routes as fine_tuning
from services.gateway.health import routes as health
from services.gateway.http.bounds import Bounds
from services.gateway.http.cors import CrossOriginApp
from services.gateway.http.door import Door
from services.gateway.http.parts import hold
from services.gateway.jobs import routes as jobs
from services.gateway.journal import routes as journal
from services.gateway.keys import routes as keys
from services.gateway.lineage import routes as lineage
from services.gateway.models import routes as models
from services.gateway.parts import Parts
from services.gateway.responses import routes as responses
from services.gateway.schedules import routes as schedules
from services.gateway.settings import GatewaySettings
from services.gateway.sources import routes as sources
from services.gateway.stores import batch_routes, file_routes, index_routes
from services.gateway.stores import routes as stores
from services.gateway.versions import routes as versions
from services.kit import errors

ROUTES = (
    chat, responses, models, embeddings, journal, feedback, files, stores, index_routes, file_routes, batch_routes,
    sources, fine_tuning, versions, schedules, data_sets, lineage, examples, embedders, jobs, keys, health,
)  # fmt: skip
ERRORS: list[tuple[type[Exception], int, str]] = [
    (UnknownJob, 404, "job_not_found"),
    (WrongJobState, 409, "wrong_job_state"),
    (SourceRefused, 400, "source_refused"),
    (TooFewExamples, 409, "too_few_examples"),
]


def create_app(settings: GatewaySettings, parts: Parts) -> FastAPI:
    """An app over its parts; it closes them when it stops."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await parts.close()

    app = CrossOriginApp(settings.cors_origins, title="Tandem", version="0.1.0", lifespan=lifespan)
    bounds = Bounds(settings.max_json_bytes, settings.max_embeddings_bytes, settings.max_body_bytes)
    app.add_middleware(Door, bounds=bounds)
    errors.install(app, ERRORS)
    hold(app, parts)
    for module in ROUTES:
        app.include_router(module.router)
    return app
