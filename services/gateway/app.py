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
from services.domain.examples import TooFewExamples
from services.domain.jobs import Jobs, UnknownJob, WrongJobState
from services.domain.retraining import ReviewedExamples
from services.gateway.answering.answering import Answering
from services.gateway.answering.canaries import Canaries
from services.gateway.answering.passages import RetrievalClient
from services.gateway.answering.slots import Slots
from services.gateway.chat import routes as chat
from services.gateway.data_sets import routes as data_sets
from services.gateway.data_sets.data_sets import DataSets
from services.gateway.embedders import routes as embedders
from services.gateway.embedders.embedders import Embedders
from services.gateway.examples import routes as examples
from services.gateway.examples.examples import Examples
from services.gateway.examples.feedback import Verdicts
from services.gateway.examples.proposals import Proposing
from services.gateway.files import routes as files
from services.gateway.files.files import Files
from services.gateway.fine_tuning import routes as fine_tuning
from services.gateway.fine_tuning.fine_tuning import FineTuning
from services.gateway.health import routes as health
from services.gateway.http.bodies import Bounds
from services.gateway.http.callers import Keys
from services.gateway.http.cors import CrossOriginApp
from services.gateway.http.door import Door
from services.gateway.http.limits import Limits
from services.gateway.jobs import routes as work
from services.gateway.jobs.dispatch import Dispatcher
from services.gateway.journal import routes as answers
from services.gateway.journal.journal import Journal
from services.gateway.keys import routes as tenants
from services.gateway.keys.keys import ApiKeys
from services.gateway.keys.workspaces import Workspaces
from services.gateway.models import routes as ask
from services.gateway.responses import routes as responses
from services.gateway.schedules import routes as schedules
from services.gateway.schedules.schedules import Schedules
from services.gateway.settings import GatewaySettings
from services.gateway.sources import routes as sources
from services.gateway.sources.sources import Sources
from services.gateway.stores import batch_routes as batches
from services.gateway.stores import file_routes as store_files
from services.gateway.stores import index_routes as index
from services.gateway.stores import routes as knowledge
from services.gateway.stores.batches import FileBatches
from services.gateway.stores.files import StoreFiles
from services.gateway.stores.stores import Stores
from services.gateway.versions import routes as versions
from services.gateway.versions.versions import Versions
from services.kit import errors
from services.kit.settings import DataSetSettings, SourceSettings


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
    trainable = (data_set_settings or DataSetSettings()).examples()
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
