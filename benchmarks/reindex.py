"""Searches before and while a store is re-indexed: how many fail, and how much longer they take.

    python -m benchmarks.reindex [--documents 400] [--rate 20]

The real retrieval service and the real re-indexing process with its builder, on synthetic documents; no platform runs.
One client asks at a constant rate, also while the collection is switched. Against it, in the same run: the same
re-indexing by a process that does not give way to others and embeds with every core. To reach: no failed search, p95 at
most doubled. The last line on standard output is JSON.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx

from harness.figures import percentile, report
from harness.machine import describe_machine
from services.contracts.retrieval import SearchRequest
from services.database.engine import Sessions, migrate, open_sessions
from services.database.tables import File, Store, StoreFile, Workspace, now
from services.domain.jobs import Jobs, new_job
from services.kit.http import client
from services.kit.settings import Platform

WORKSPACE, STORE = "ws", "vs"
WORDS = ["brake", "pedal", "saddle", "chain", "tyre", *(f"part{number}" for number in range(2000))]
WORDS_A_DOCUMENT = 600
QUIET_SECONDS = 20.0
REINDEX = ("-m", "services.worker.reindex_process")
IMPOLITE = ("-c", "import sys, services.worker.reindex_process as p; p.be_quiet = lambda: None; p.main(sys.argv[1])")


@dataclass
class Phase:
    """What one client saw: milliseconds of the searches that were answered, reasons of those that were not."""

    name: str
    times: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def p(self, share: float) -> float:
        return percentile(self.times, share)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=400)
    parser.add_argument("--rate", type=float, default=20.0, help="searches a second")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as folder:
        platform = Platform(home=Path(folder), service_token="benchmark")
        sessions = prepare(platform, arguments.documents, random.Random(1))
        with serving(platform) as http:
            run(platform, sessions, REINDEX, 160, lambda: None)
            phases = measure(platform, sessions, http, arguments.rate)
    show(phases, arguments.documents)


def measure(platform: Platform, sessions: Sessions, http: httpx.Client, rate: float) -> list[Phase]:
    """Quiet, re-indexing as Tandem does it, quiet, re-indexing that does not give way."""
    phases: list[Phase] = []
    for name, command in (("giving way", REINDEX), ("not giving way", IMPOLITE)):
        asking = Asking(http, rate, random.Random(2))
        before = Phase(f"before ({name})")
        asking.once(Phase("warm-up"))
        deadline = time.monotonic() + QUIET_SECONDS
        while time.monotonic() < deadline:
            asking.once(before)
        before.seconds = QUIET_SECONDS
        during = Phase(f"re-indexing, {name}")
        started = time.monotonic()
        run(platform, sessions, command, 96 if command is REINDEX else 160, partial(asking.once, during))
        during.seconds = time.monotonic() - started
        phases += [before, during]
    return phases


@dataclass
class Asking:
    """One client at a constant rate; a search that is late does not make the next one late too."""

    http: httpx.Client
    rate: float
    rng: random.Random

    def once(self, phase: Phase) -> None:
        """Ask one question, then wait until the next is due."""
        query = " ".join(self.rng.choices(WORDS, k=8))
        body = SearchRequest(workspace_id=WORKSPACE, store_ids=[STORE], query=query, top_k=10).model_dump_json()
        started = time.monotonic()
        try:
            answer = self.http.post("/search", content=body, headers={"Content-Type": "application/json"})
            if answer.status_code == 200 and answer.json()["passages"]:
                phase.times.append(1000 * (time.monotonic() - started))
            else:
                phase.failures.append(answer.text[:200])
        except httpx.HTTPError as error:
            phase.failures.append(type(error).__name__)
        time.sleep(max(0.0, 1 / self.rate - (time.monotonic() - started)))


def prepare(platform: Platform, documents: int, rng: random.Random) -> Sessions:
    """A home with a store of documents that are not indexed yet, though the database says so: a re-index makes them."""
    migrate(platform.database_url)
    sessions = open_sessions(platform.database_url)
    folder = platform.home / "files"
    folder.mkdir()
    with sessions.begin() as session:
        session.add(Workspace(id=WORKSPACE, name="benchmark"))
        session.flush()
        session.add(Store(id=STORE, workspace_id=WORKSPACE, name="benchmark"))
        for number in range(documents):
            path, name = folder / f"file-{number}", f"document-{number}.md"
            path.write_text(f"# Document {number}\n\n{_text(rng)}", encoding="utf-8")
            file = File(id=path.name, workspace_id=WORKSPACE, filename=name, purpose="assistants", bytes=1, sha256="")
            file.path = str(path)
            row = StoreFile(store_id=STORE, file_id=file.id, workspace_id=WORKSPACE, revision=1, status="completed")
            row.indexed_at = now()
            session.add_all([file, row])
    return sessions


def _text(rng: random.Random) -> str:
    return " ".join(f"{' '.join(rng.choices(WORDS, k=12)).capitalize()}." for _ in range(WORDS_A_DOCUMENT // 12))


@contextmanager
def serving(platform: Platform) -> Iterator[httpx.Client]:
    """The retrieval service in a process of its own, and a client of it."""
    process = subprocess.Popen([sys.executable, "-m", "services.retrieval"], env=environment(platform))
    try:
        with client(platform.retrieval_url, platform.service_token) as http:
            for _ in range(600):
                try:
                    http.get("/ready").raise_for_status()
                    break
                except httpx.HTTPError:
                    time.sleep(0.2)
            yield http
    finally:
        process.terminate()
        process.wait(30)


def run(
    platform: Platform, sessions: Sessions, command: tuple[str, ...], size: int, meanwhile: Callable[[], None]
) -> None:
    """Re-index the store in a process, and do something again and again until it has ended."""
    job = new_job(WORKSPACE, "reindex", {"store_id": STORE, "chunk_size": size}, 3600.0)
    with sessions.begin() as session:
        session.add(job)
    threads = {} if command is REINDEX else {"TANDEM_WORKER_REINDEX_THREADS": str(len(os.sched_getaffinity(0)))}
    process = subprocess.Popen([sys.executable, *command, job.id], env=environment(platform) | threads)
    while process.poll() is None:
        meanwhile()
        time.sleep(0.001)
    done = Jobs(sessions).find(WORKSPACE, job.id)
    if done.status != "succeeded":
        raise SystemExit(f"the re-indexing {done.status}: {done.reason}")


def environment(platform: Platform) -> dict[str, str]:
    named = {"TANDEM_HOME": str(platform.home), "TANDEM_SERVICE_TOKEN": platform.service_token}
    return {**os.environ, **named}


def show(phases: list[Phase], documents: int) -> None:
    print(f"{describe_machine()}\n{documents} documents of {WORDS_A_DOCUMENT} words, one client\n")
    print(f"{'phase':36}{'seconds':>9}{'searches':>10}{'failed':>8}{'p50 ms':>9}{'p95 ms':>9}{'p95 ratio':>11}")
    for before, during in zip(phases[::2], phases[1::2], strict=True):
        for phase in (before, during):
            ratio = phase.p(0.95) / before.p(0.95)
            print(f"{phase.name:36}{phase.seconds:>9.1f}{len(phase.times):>10}{len(phase.failures):>8}"
                  f"{phase.p(0.5):>9.1f}{phase.p(0.95):>9.1f}{ratio:>11.2f}")  # fmt: skip
    polite, impolite = (phases[at + 1].p(0.95) / phases[at].p(0.95) for at in (0, 2))
    failed = len(phases[1].failures)
    print(f"\nto reach: none failed, ratio 2.00; reached: {failed} failed, ratio {polite:.2f}")
    report("reindex", {"failed": failed, "p95_ratio": round(polite, 2), "p95_ratio_not_giving_way": round(impolite, 2)})


if __name__ == "__main__":
    main()
