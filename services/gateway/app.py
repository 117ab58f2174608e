"""The gateway: the public API, made from its collaborators."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import redis.asyncio
from celery import Celery
from fastapi import FastAPI

from retrieval.errors import SourceRefused
from services.contracts.jobs import JobKind
from services.database.engine import Sessions
from services.database.examples import TooFewExamples
from services.database.jobs import Jobs, UnknownJob, WrongJobState
from services.database.retraining import ReviewedExamples
from services.gateway.answering import Answering
from services.gateway.bodies import Bounds
from services.gateway.canaries import Canaries
from services.gateway.cors import CrossOriginApp
from services.gateway.data_sets import DataSets
from services.gateway.dispatch import Dispatcher
from services.gateway.door import Door
from services.gateway.embedders import Embedders
from services.gateway.examples import Examples
from services.gateway.feedback import Verdicts
from services.gateway.file_batches import FileBatches
from services.gateway.files import Files
from services.gateway.fine_tuning import FineTuning
from services.gateway.journal import Journal
from services.gateway.keys import Keys
from services.gateway.limits import Limits
from services.gateway.passages import RetrievalClient
from services.gateway.proposals import Proposing
from services.gateway.routes import (
    answers,
    ask,
    batches,
    chat,
    data_sets,
    embedders,
    examples,
    files,
    fine_tuning,
    health,
    index,
    knowledge,
    responses,
    schedules,
    sources,
    store_files,
    versions,
    work,
)
from services.gateway.schedules import Schedules
from services.gateway.settings import GatewaySettings
from services.gateway.slots import Slots
from services.gateway.sources import Sources
from services.gateway.store_files import StoreFiles
from services.gateway.stores import Stores
from services.gateway.tenants import routes as tenants
from services.gateway.tenants.keys import ApiKeys
from services.gateway.tenants.workspaces import Workspaces
from services.gateway.versions import Versions
from services.kit import errors
from services.kit.settings import DataSetSettings, SourceSettings
from training.config import DatasetSettings


def create_app(
    settings: GatewaySettings,
    sessions: Sessions,
    files_url: str,
    base_model: str,
    top_k: int,
    min_answerability: float,
    guarded: bool,
    max_answer_tokens: int,
    retrieval: httpx.AsyncClient,
    generation: httpx.AsyncClient,
    celery: Celery,
    counters: redis.asyncio.Redis,
    source_settings: SourceSettings | None = None,
    data_set_settings: DataSetSettings | None = None,
) -> FastAPI:
    """An app over its collaborators; it closes the HTTP clients when it stops."""
    slots = Slots(generation, settings.routing_refresh, settings.answer_timeout)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await slots.close()
        await retrieval.aclose()
        await generation.aclose()
        await counters.aclose()

    app = CrossOriginApp(settings.cors_origins, title="Tandem", version="0.1.0", lifespan=lifespan)
    app.add_middleware(
        Door, bounds=Bounds(settings.max_json_bytes, settings.max_embeddings_bytes, settings.max_body_bytes)
    )
    refused = [(UnknownJob, 404, "job_not_found"), (WrongJobState, 409, "wrong_job_state")]
    errors.install(app, [*refused, (SourceRefused, 400, "source_refused"), (TooFewExamples, 409, "too_few_examples")])
    jobs = Jobs(sessions)
    deadlines: dict[JobKind, float] = {
        "index_file": settings.deadline_index,
        "reconcile": settings.deadline_index,
        "reindex": settings.deadline_reindex,
        "fine_tuning": settings.deadline_train,
        "embedder_training": settings.deadline_train,
        "examine_data_set": settings.deadline_index,
    }
    dispatcher = Dispatcher(celery, jobs, deadlines)
    uploads = Files(sessions, files_url, settings.max_body_bytes)
    stores = Stores(sessions, jobs)
    held = StoreFiles(sessions, stores, uploads, dispatcher, jobs)
    state = app.state
    state.settings, state.base_model = settings, base_model
    state.top_k, state.min_answerability, state.guarded = top_k, min_answerability, guarded
    state.max_answer_tokens = max_answer_tokens
    state.sessions, state.waiting = sessions, set()
    state.keys, state.limits, state.counters = Keys(sessions), Limits(counters, settings.reads_per_minute), counters
    state.api_keys, state.workspaces = ApiKeys(sessions, state.keys.forget), Workspaces(sessions)
    state.retrieval_http, state.generation = retrieval, generation
    state.retrieval, state.slots = RetrievalClient(retrieval), slots
    state.jobs, state.dispatcher, state.files = jobs, dispatcher, uploads
    state.stores, state.store_files = stores, held
    state.batches = FileBatches(sessions, stores, held, jobs)
    state.versions, state.journal = Versions(sessions), Journal(sessions)
    proposing = Proposing(settings.propose_praised, settings.propose_ratings, settings.review_examples)
    state.verdicts = Verdicts(sessions, state.journal, uploads, proposing)
    state.examples = Examples(sessions, uploads, files_url)
    state.sources = Sources(sessions, stores, dispatcher, source_settings or SourceSettings())
    state.embedders = Embedders(sessions)
    trainable = DatasetSettings(**(data_set_settings or DataSetSettings()).model_dump())
    state.data_sets = DataSets(sessions, uploads, files_url, dispatcher, trainable)
    state.fine_tuning = FineTuning(
        sessions, jobs, dispatcher, state.data_sets, state.versions, base_model, settings.model_aliases
    )
    state.schedules = Schedules(
        sessions, uploads, dispatcher, ReviewedExamples(sessions, files_url), base_model, settings.deadline_train
    )
    state.answering, state.canaries = Answering(state.retrieval, slots), Canaries(sessions, slots)
    for module in (
        chat, responses, ask, answers, files, knowledge, index, store_files, batches, sources, fine_tuning, versions,
        schedules, data_sets, examples, embedders, work, tenants, health,
    ):  # fmt: skip
        app.include_router(module.router)
    return app
