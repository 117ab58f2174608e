"""Worker, builder and retrieval service are killed at random points of ingest and re-index; every chunk is right after.

The processes are the platform's own: broker, retrieval service, worker with its reindexing and builder processes. The
test stands in for the gateway, and for beat.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import select

from retrieval.documents.chunking import ChunkingSettings, chunk
from retrieval.documents.loading import load
from retrieval.embedding.embedder import SentenceTransformerEmbedder
from retrieval.index.edge import EdgeEngine
from retrieval.index.port import CollectionRef
from retrieval.index.recipe import chunking_of
from retrieval.model import FileRef
from services.command.supervisor import broker
from services.contracts.jobs import FINISHED, INDEX_QUEUE, TICK, TICK_QUEUE
from services.contracts.retrieval import DeleteRequest
from services.database.engine import open_sessions
from services.database.tables import Collection, File, Job, Store, StoreFile
from services.domain.bootstrap import WORKSPACE_ID, bootstrap
from services.domain.jobs import Jobs
from services.gateway.files.files import Files
from services.gateway.http.paging import Cursor
from services.gateway.jobs.dispatch import Dispatcher
from services.gateway.stores.files import Entry, StoreFiles
from services.gateway.stores.stores import Stores
from services.kit.errors import ApiError
from services.kit.http import client
from services.kit.queue import make_celery
from services.kit.settings import Platform
from tests.support.notes import note

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
KILLS = int(os.environ.get("TANDEM_TEST_KILLS", "20"))
SEED = int(os.environ.get("TANDEM_TEST_SEED", "7"))
VICTIMS = ("worker", "retrieval", "builder")
SIZES = (32, 48, 64, 96, 160)
SILENT_SECONDS = 6
WORK_SECONDS = 60.0
END_SECONDS = 600.0  # a bound; minutes on a machine that has other work
WORDS = [
    f"{start}{end}" for start in ("bra", "tor", "sad", "ped", "whe", "cha") for end in ("ke", "que", "dle", "al", "in")
]


@dataclass
class Part:
    """One process of the platform, which comes back when it was killed."""

    name: str
    argv: tuple[str, ...]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.argv, env=self.environment, stdout=log, stderr=log)

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def children(self, of: str) -> list[psutil.Process]:
        """The processes below this one that run a module."""
        assert self.process is not None
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if of in child.cmdline():
                    found.append(child)
            except psutil.Error:
                continue  # ended meanwhile
        return found


@dataclass
class Stage:
    """A small platform, the gateway's functions on it, and what a user does."""

    platform: Platform
    environment: dict[str, str]
    rng: random.Random
    texts: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        home, celery = self.platform.home, (sys.executable, "-m", "celery", "-A", "services.worker.app", "worker")
        solo = ("--pool=solo", "--without-gossip", "--without-mingle")
        index = ("-Q", INDEX_QUEUE, "-I", "services.worker.tasks", *solo)
        tick = ("-Q", TICK_QUEUE, "-I", "services.worker.light", *solo)
        server = (str(broker.find_server()), str(broker.config_path(self.platform)))
        self.broker = Part("broker", server, self.environment, home / "broker.log")
        service = (sys.executable, "-m", "services.retrieval")
        self.retrieval = Part("retrieval", service, self.environment, home / "retrieval.log")
        self.worker = Part("worker", (*celery, *index), self.environment, home / "worker.log")
        self.light = Part("light", (*celery, *tick), self.environment, home / "light.log")
        self.sessions = open_sessions(self.platform.database_url)
        self.jobs, self.celery = Jobs(self.sessions), make_celery(self.platform.broker_url)
        deadlines = dict.fromkeys(("index_file", "reindex", "reconcile"), 3600.0)
        self.dispatcher = Dispatcher(self.celery, self.jobs, deadlines)  # type: ignore[arg-type]
        self.files = Files(self.sessions, self.platform.files_url, 2**20)
        stores = Stores(self.sessions, self.jobs)
        self.held = StoreFiles(self.sessions, stores, self.files, self.dispatcher, self.jobs)
        self.store_id = stores.list(WORKSPACE_ID, Cursor())[0][0].id
        self._stop = threading.Event()
        self._beat = threading.Thread(target=self._tick, daemon=True)

    def start(self) -> None:
        for part in (self.broker, self.retrieval, self.worker, self.light):
            part.start()
        self._beat.start()

    def stop(self) -> None:
        self._stop.set()
        for part in (self.light, self.worker, self.retrieval, self.broker):
            part.kill()

    def _tick(self) -> None:
        while not self._stop.wait(2.0):
            self.celery.send_task(TICK, queue=TICK_QUEUE, expires=2.0)

    def add(self) -> None:
        text = self._text()
        file = self.files.store(WORKSPACE_ID, f"note-{len(self.texts)}.md", "assistants", BytesIO(text.encode()))
        self.texts[file.id] = text
        self.held.attach(WORKSPACE_ID, self.store_id, [Entry(file.id)])

    def change(self) -> None:
        """A new revision of a file: its attributes are others."""
        file_id = self.rng.choice(sorted(self.texts))
        self.held.attach(WORKSPACE_ID, self.store_id, [Entry(file_id, {"at": self.rng.random()})])

    def delete(self) -> None:
        file_id = self.rng.choice(sorted(self.texts))
        del self.texts[file_id]
        self.files.delete(WORKSPACE_ID, file_id)
        body = DeleteRequest(workspace_id=WORKSPACE_ID, store_id=self.store_id, file_id=file_id)
        try:
            with client(self.platform.retrieval_url, self.platform.service_token) as http:
                http.post(
                    "/points/delete", content=body.model_dump_json(), headers={"Content-Type": "application/json"}
                )
        except httpx.HTTPError:
            pass  # the service is away: reconcile purges it

    def reindex(self) -> None:
        size = self.rng.choice(SIZES)
        with suppress(ApiError):  # one is at work already
            self.dispatcher.start_once(WORKSPACE_ID, "reindex", {"store_id": self.store_id, "chunk_size": size})

    def kill(self, victim: str) -> str:
        """Kill a part and start it again; returns what was hit. A builder that is not at work is its job's process."""
        if victim == "builder":
            for module in ("services.worker.reindexing.builder_process", "services.worker.reindex_process"):
                if found := self.worker.children(module):
                    found[0].send_signal(signal.SIGKILL)
                    return module.rpartition(".")[2]
            victim = "worker"
        part = self.worker if victim == "worker" else self.retrieval
        part.kill()
        part.start()
        return victim

    def unfinished(self) -> list[Job]:
        with self.sessions() as session:
            return list(session.scalars(select(Job).where(Job.status.not_in(FINISHED))))

    def wait_for_work(self, seconds: float) -> None:
        """Until some job has moved on, so that the next kill hits work and not a start."""
        before, deadline = self._stand(), time.monotonic() + seconds
        while self._stand() <= before and time.monotonic() < deadline:
            time.sleep(0.1)

    def _stand(self) -> set[tuple[str, str, float]]:
        with self.sessions() as session:
            begun = session.scalars(select(Job).where(Job.status != "queued"))
            return {(job.id, job.stage, job.progress) for job in begun}

    def wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while left := self.unfinished():
            states = [(job.kind, job.status, job.stage, job.reason) for job in left]
            assert time.monotonic() < deadline, f"these jobs do not end: {states}"
            time.sleep(0.5)

    def reconcile(self) -> None:
        self.dispatcher.start_once(WORKSPACE_ID, "reconcile", {"store_id": self.store_id})

    def _text(self) -> str:
        sentences = [" ".join(self.rng.choices(WORDS, k=12)) for _ in range(self.rng.randint(5, 25))]
        return "# Note\n\n" + " ".join(f"{one.capitalize()} {number}." for number, one in enumerate(sentences))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    home = tmp_path / "home"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TANDEM_")},
        "TANDEM_HOME": str(home),
        "TANDEM_WORKER_SILENT_SECONDS": str(SILENT_SECONDS),
    }
    bootstrap(Platform(home=home))
    platform = Platform(home=home)
    broker.write_config(platform)
    opened = Stage(platform, environment, random.Random(SEED))
    opened.start()
    try:
        yield opened
    finally:
        opened.stop()


def test_after_twenty_kills_the_index_has_exactly_the_right_chunks(stage: Stage) -> None:
    started, hit = time.monotonic(), []
    for number in range(KILLS):
        for _ in range(4 if number < KILLS // 2 else 1):
            stage.add()
        if number % 3 == 2:
            stage.change()
            stage.delete()
        if number >= KILLS // 3:
            stage.reindex()
        stage.wait_for_work(WORK_SECONDS)
        time.sleep(stage.rng.uniform(0.0, 4.0))
        hit.append(stage.kill(stage.rng.choice(VICTIMS)))
    killed = time.monotonic() - started
    stage.wait(END_SECONDS)
    stage.reindex()
    stage.wait(END_SECONDS)
    stage.reconcile()
    stage.wait(END_SECONDS)
    note(
        f"{KILLS} kills in {killed:.0f} s ({', '.join(hit)}), mended {time.monotonic() - started - killed:.0f} s later"
    )
    stage.stop()
    check_jobs(stage)
    check_index(stage)


def check_jobs(stage: Stage) -> None:
    with stage.sessions() as session:
        jobs = session.scalars(select(Job)).all()
    assert [(job.kind, job.reason) for job in jobs if job.status == "failed"] == []
    assert any(job.kind == "reindex" and job.status == "succeeded" for job in jobs)


def check_index(stage: Stage) -> None:
    """What the live collection holds on disk, against what chunking the files gives; and nothing else lies there."""
    with stage.sessions() as session:
        store = session.get_one(Store, stage.store_id)
        live = session.get_one(Collection, str(store.collection_id))
        rows = session.execute(select(StoreFile, File).join(File, File.id == StoreFile.file_id)).all()
    wanted = [(row, file) for row, file in rows if not row.deleted]
    assert {file.id for _, file in wanted} == set(stage.texts)
    embedder = SentenceTransformerEmbedder(live.embedder, threads=1)
    chunking = chunking_of(live.settings, ChunkingSettings())
    expected = {
        (one.id, one.text)
        for row, file in wanted
        for one in chunk(
            load(stage.texts[file.id].encode(), file.filename),
            FileRef(WORKSPACE_ID, store.id, file.id, row.revision),
            chunking,
            embedder.count_tokens,
        )
    }
    index = EdgeEngine(stage.platform.index_folder).open(CollectionRef(WORKSPACE_ID, store.id, live.id))
    assert {(point.chunk.id, point.chunk.text) for point in index.scroll()} == expected
    assert index.verify() == len(expected)
    index.close()
    assert sum(row.chunk_count for row, _ in wanted) == len(expected)
    folder = stage.platform.index_folder / WORKSPACE_ID / store.id
    assert {path.name for path in folder.iterdir()} <= {live.id, store.previous_collection_id}
