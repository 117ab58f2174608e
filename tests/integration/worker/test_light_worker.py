"""The worker of the tick and the syncs: a real broker, real processes, and sources that do not come to their end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import psutil
import pytest
from celery import Celery

from services.command.supervisor import broker
from services.command.supervisor.processes import platform_specs
from services.contracts.jobs import LIGHT_WORKER, SYNCS_AT_ONCE, TASKS, TICK, TICK_QUEUE
from services.database.engine import Sessions, open_sessions
from services.database.tables import Job, Source, Store, now
from services.domain.bootstrap import WORKSPACE_ID, bootstrap
from services.domain.jobs import Jobs, new_job
from services.domain.sources import begin_sync
from services.gateway.jobs.dispatch import Dispatcher
from services.kit.queue import make_celery
from services.kit.settings import Platform
from services.worker import light
from services.worker.app import TICK_SECONDS
from services.worker.app import app as worker_app
from tests.support.notes import note

MOST_BYTES = 250 * 2**20
HEAVY = ("torch", "openvino", "transformers", "sentence_transformers", "qdrant_edge", "llama_index.core", "vllm")


class SlowSite:
    """A web site that begins to answer, and then lets its readers wait until the test is over."""

    def __init__(self) -> None:
        self.asked, self.over = list[str](), Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                site.over.wait(60.0)
                self.send_error(404)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.over.set()
        self.server.shutdown()


@dataclass
class Stage:
    """A platform of which only broker and light worker run."""

    platform: Platform
    sessions: Sessions
    celery: Celery
    worker: psutil.Process
    site: SlowSite
    log: Path

    @property
    def jobs(self) -> Jobs:
        return Jobs(self.sessions)

    def sync(self, source_id: str, kind: str, location: str) -> str:
        with self.sessions.begin() as session:
            store = session.query(Store).first()
            assert store is not None
            source = Source(id=source_id, workspace_id=WORKSPACE_ID, store_id=store.id, name=source_id, kind=kind,
                            location=location, settings={})  # fmt: skip
            session.add(source)
            session.flush()
            job, _ = begin_sync(session, source, 600.0)
        self.send(job)
        return job.id

    def send(self, job: Job) -> None:
        task, queue = TASKS[job.kind]
        self.celery.send_task(task, args=[job.id], queue=queue)

    def tick(self, expires: float = 30.0) -> None:
        self.celery.send_task(TICK, queue=TICK_QUEUE, expires=expires)

    def overdue_job(self) -> str:
        """A job that the next tick ends: so a tick is seen."""
        job = new_job(WORKSPACE_ID, "reindex", {"store_id": "gone"}, 60.0)
        with self.sessions.begin() as session:
            session.add(job)
        self.jobs.claim(job.id)
        with self.sessions.begin() as session:
            session.get_one(Job, job.id).deadline_at = now() - timedelta(seconds=1)
        return job.id

    def status(self, job_id: str) -> str:
        return self.jobs.find(WORKSPACE_ID, job_id).status

    def resident(self) -> int:
        """Bytes of the worker and of every process below it."""
        found = 0
        for process in (self.worker, *self.worker.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                found += process.memory_info().rss
        return found

    def wait(self, what: Callable[[], bool], seconds: float = 20.0) -> float:
        """Seconds until something was so."""
        started = time.monotonic()
        while not what():
            assert time.monotonic() - started < seconds, self.log.read_text()[-3000:]
            time.sleep(0.05)
        return time.monotonic() - started


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    bootstrap(Platform(home=tmp_path / "home"))
    platform, site = Platform(home=tmp_path / "home"), SlowSite()
    broker.write_config(platform)
    specs = {spec.name: spec for spec in platform_specs(platform)}
    environment = {**os.environ, "TANDEM_HOME": str(platform.home), "TANDEM_CONFIG": str(tmp_path / "tandem.toml"),
                   "TANDEM_SOURCES_FOLDERS": f'["{tmp_path}"]',
                   "TANDEM_SOURCES_PRIVATE_HOSTS": '["127.0.0.1"]'}  # fmt: skip
    log, processes = tmp_path / "worker.log", list[subprocess.Popen[bytes]]()
    try:
        with log.open("ab") as output:
            for name in ("broker", f"worker-{LIGHT_WORKER}"):
                argv = specs[name].argv
                processes.append(subprocess.Popen(argv, env=environment, stdout=output, stderr=output))
                if name == "broker":
                    _wait_for(broker.socket_path(platform))
        celery = make_celery(platform.broker_url)
        worker = psutil.Process(processes[-1].pid)
        made = Stage(platform, open_sessions(platform.database_url), celery, worker, site, log)
        made.wait(lambda: bool(celery.control.ping(timeout=0.5, limit=1)), 60.0)
        yield made
    finally:
        site.close()
        for process in reversed(processes):
            process.kill()
            process.wait()


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_syncs_that_take_long_never_hold_up_the_tick_and_all_of_it_stays_small(stage: Stage, tmp_path: Path) -> None:
    slow = [stage.sync(f"src_{number}", "site", f"{stage.site.url}/{number}") for number in range(SYNCS_AT_ONCE + 2)]
    stage.wait(lambda: len(stage.site.asked) >= SYNCS_AT_ONCE)
    overdue = stage.overdue_job()
    stage.tick()
    waited = stage.wait(lambda: stage.status(overdue) == "failed")
    running = [job for job in slow if stage.status(job) == "running"]
    waiting = [stage.jobs.find(WORKSPACE_ID, job) for job in slow if job not in running]
    assert len(running) == SYNCS_AT_ONCE
    assert {job.status for job in waiting} == {"queued"}
    assert all("waits until one of the 3 syncs" in str(job.reason) for job in waiting)

    stage.site.over.set()
    stage.wait(lambda: all(stage.status(job) == "failed" for job in running))
    folder = tmp_path / "handbook"
    folder.mkdir()
    for number in range(300):
        (folder / f"page-{number}.md").write_text(f"# Page {number}\n\n" + "The bell rings at noon. " * 400)
    quick = stage.sync("src_folder", "folder", str(folder))
    stage.wait(lambda: stage.status(quick) == "succeeded", 60.0)
    resident = stage.resident()
    note(f"a tick beside {SYNCS_AT_ONCE} syncs took {waited:.2f} s; light worker: {resident / 2**20:.0f} MiB resident")
    assert resident < MOST_BYTES


def test_a_tick_that_nobody_took_within_its_time_is_dropped(stage: Stage) -> None:
    overdue = stage.overdue_job()
    stage.worker.suspend()
    stage.tick(expires=0.5)
    time.sleep(1.0)
    stage.worker.resume()
    time.sleep(2.0)
    assert stage.status(overdue) == "running"
    assert worker_app.conf.beat_schedule["tick"]["options"] == {"queue": TICK_QUEUE, "expires": TICK_SECONDS}


def test_what_a_user_uploads_stands_before_the_files_of_a_sync(stage: Stage) -> None:
    asked = {"store_id": "s", "file_id": "f", "revision": 1}
    synced = [new_job(WORKSPACE_ID, "index_file", {**asked, "asked_by": "sync"}, 60.0) for _ in range(20)]
    uploaded = new_job(WORKSPACE_ID, "index_file", asked, 60.0)
    dispatcher = Dispatcher(stage.celery, stage.jobs, {})
    for job in (*synced, uploaded):
        with stage.sessions.begin() as session:
            session.add(job)
        dispatcher.send(job)
    with stage.celery.connection_for_read() as connection:
        first = connection.default_channel.basic_get("index")
    assert first.headers["id"] == uploaded.id


def test_the_light_worker_loads_no_model_and_no_engine() -> None:
    code = f"import sys, services.worker.light; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("ended", ["cancelled by its user", "past its deadline"])
def test_a_sync_that_hangs_keeps_no_place_once_it_has_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: str
) -> None:
    platform = Platform(home=tmp_path / "home")
    bootstrap(platform)
    jobs, over = Jobs(open_sessions(platform.database_url)), Event()

    class Hanging:
        """Reads from a share that does not answer."""

        def sync(self, _job: Job, _heartbeat: object) -> dict[str, object]:
            over.wait(60.0)
            return {}

    for name, value in (("jobs", lambda: jobs), ("syncing", Hanging), ("LOOK_SECONDS", 0.05), ("HANGING_SECONDS", 0.2)):
        monkeypatch.setattr(light, name, value)
    hanging = [new_job(WORKSPACE_ID, "sync_source", {"source_id": f"src_{one}"}, 60.0) for one in range(SYNCS_AT_ONCE)]
    with jobs.transaction() as session:
        session.add_all(hanging)
    threads = [Thread(target=light.sync_source, args=(job.id,)) for job in hanging]
    for thread in threads:
        thread.start()
    for job in hanging:
        while jobs.find(WORKSPACE_ID, job.id).status != "running":
            time.sleep(0.02)
        if ended == "past its deadline":
            jobs.finish(job.id, "failed", "the job passed its deadline")
        else:
            jobs.request_cancel(WORKSPACE_ID, job.id)
    for thread in threads:
        thread.join(10.0)
    over.set()
    assert not any(thread.is_alive() for thread in threads)
    statuses = {jobs.find(WORKSPACE_ID, job.id).status for job in hanging}
    assert statuses == {"failed" if ended == "past its deadline" else "cancelled"}
