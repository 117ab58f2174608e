"""The gateway's parts, made once: everything that its routes call."""

from __future__ import annotations

from dataclasses import dataclass

import httpx
import redis.asyncio
from celery import Celery

from services.contracts.jobs import JobKind
from services.database.engine import Sessions, open_sessions
from services.domain.jobs import Jobs
from services.domain.retraining import ReviewedExamples
from services.gateway.answering.answering import Answering
from services.gateway.answering.asking import Asking
from services.gateway.answering.canaries import Canaries
from services.gateway.answering.delivery import Deliveries
from services.gateway.data_sets.data_sets import DataSets
from services.gateway.embedders.embedders import Embedders
from services.gateway.examples.examples import Examples
from services.gateway.feedback.feedback import Verdicts
from services.gateway.feedback.proposals import Proposing
from services.gateway.files.files import Files
from services.gateway.fine_tuning.fine_tuning import FineTuning
from services.gateway.health.health import Health
from services.gateway.http.callers import Keys
from services.gateway.http.limits import Limits
from services.gateway.jobs.cancelling import Cancelling
from services.gateway.jobs.dispatch import Dispatcher
from services.gateway.journal.journal import Journal
from services.gateway.keys.keys import ApiKeys
from services.gateway.keys.workspaces import Workspaces
from services.gateway.lineage.lineage import Lineages
from services.gateway.schedules.schedules import Schedules
from services.gateway.settings import GatewaySettings, Settings
from services.gateway.sources.sources import Sources
from services.gateway.stores.batches import FileBatches
from services.gateway.stores.files import StoreFiles
from services.gateway.stores.stores import Stores
from services.gateway.upstream.retrieval import RetrievalClient
from services.gateway.upstream.slots import Slots
from services.gateway.versions.versions import Versions
from services.kit.http import async_client
from services.kit.queue import make_celery, redis_client
from services.kit.settings import Platform


@dataclass(frozen=True)
class Connections:
    """What the gateway connects to: the database, the two services, and the broker, for its queues and its counters."""

    sessions: Sessions
    retrieval: httpx.AsyncClient
    generation: httpx.AsyncClient
    celery: Celery
    counters: redis.asyncio.Redis

    async def close(self) -> None:
        await self.retrieval.aclose()
        await self.generation.aclose()
        await self.counters.aclose()


@dataclass(frozen=True)
class Parts:
    """What the door and the routes call. The fields all have different types: a route asks for its parts by type."""

    connections: Connections
    keys: Keys
    limits: Limits
    health: Health
    retrieval: RetrievalClient
    slots: Slots
    jobs: Jobs
    cancelling: Cancelling
    dispatcher: Dispatcher
    files: Files
    stores: Stores
    store_files: StoreFiles
    batches: FileBatches
    sources: Sources
    embedders: Embedders
    data_sets: DataSets
    lineages: Lineages
    versions: Versions
    fine_tuning: FineTuning
    schedules: Schedules
    asking: Asking
    deliveries: Deliveries
    journal: Journal
    examples: Examples
    verdicts: Verdicts
    api_keys: ApiKeys
    workspaces: Workspaces

    async def close(self) -> None:
        """Close the connections to other processes."""
        await self.slots.close()
        await self.connections.close()


def connect(platform: Platform) -> Connections:
    """The connections that a platform's settings name. Each is opened when it is first used."""
    return Connections(
        sessions=open_sessions(platform.database_url),
        retrieval=async_client(platform.retrieval_url, platform.service_token),
        generation=async_client(platform.generation_url, platform.service_token),
        celery=make_celery(platform.broker_url),
        counters=redis_client(platform.broker_url),
    )


def make_parts(settings: Settings, connections: Connections, slots: Slots | None = None) -> Parts:
    """The parts over their connections. A test passes `slots` of its own."""
    platform, gateway, sessions = settings.platform, settings.gateway, connections.sessions
    slots = slots or Slots(connections.generation, gateway.routing_refresh, gateway.answer_timeout)
    retrieval = RetrievalClient(connections.retrieval)
    keys, limits = Keys(sessions), Limits(connections.counters, gateway.reads_per_minute)
    jobs = Jobs(sessions)
    dispatcher = Dispatcher(connections.celery, jobs, _deadlines(gateway))
    files, stores = Files(sessions, platform.files_url, gateway.max_body_bytes), Stores(sessions, jobs)
    store_files = StoreFiles(sessions, stores, files, dispatcher, jobs)
    data_sets = DataSets(sessions, files, platform.files_url, dispatcher, settings.data_sets.examples())
    versions, journal = Versions(sessions, gateway), Journal(sessions)
    proposing = Proposing(gateway.propose_praised, gateway.propose_ratings, gateway.review_examples)
    reviewed = ReviewedExamples(sessions, platform.files_url)
    return Parts(
        connections=connections,
        keys=keys,
        limits=limits,
        health=Health(sessions, connections.counters, connections.retrieval, connections.generation),
        retrieval=retrieval,
        slots=slots,
        jobs=jobs,
        cancelling=Cancelling(sessions, jobs),
        dispatcher=dispatcher,
        files=files,
        stores=stores,
        store_files=store_files,
        batches=FileBatches(sessions, stores, store_files, jobs),
        sources=Sources(sessions, stores, dispatcher, settings.sources),
        embedders=Embedders(sessions, stores, jobs, dispatcher),
        data_sets=data_sets,
        lineages=Lineages(sessions),
        versions=versions,
        fine_tuning=FineTuning(
            sessions, jobs, dispatcher, data_sets, versions, platform.base_model, gateway.model_aliases
        ),
        schedules=Schedules(sessions, files, dispatcher, reviewed, platform.base_model, gateway.deadline_train),
        asking=Asking(platform, gateway, stores, versions, jobs, slots),
        deliveries=Deliveries(Answering(retrieval, slots), Canaries(sessions, slots), limits, gateway.max_waiting),
        journal=journal,
        examples=Examples(sessions, files, platform.files_url),
        verdicts=Verdicts(sessions, journal, files, proposing),
        api_keys=ApiKeys(sessions, keys.forget),
        workspaces=Workspaces(sessions),
    )


def _deadlines(settings: GatewaySettings) -> dict[JobKind, float]:
    """In seconds, by kind of job."""
    return {
        "index_file": settings.deadline_index,
        "reconcile": settings.deadline_index,
        "reindex": settings.deadline_reindex,
        "fine_tuning": settings.deadline_train,
        "embedder_training": settings.deadline_train,
        "examine_data_set": settings.deadline_index,
    }
