"""Seconds from an upload to an answer out of it, and from a deletion to its passages' end, through the stock SDK.

    python -m benchmarks.freshness [--files 30]

A platform of its own without its language model (broker, retrieval, gateway, index worker: passages need no more), idle
but for this. A file of two pages goes up with `vector_stores.files.upload_and_poll`, as a user would do it, and is
searched for until it is found; then it is deleted, and searched for until it is gone. Where the time went is read from
the job's row: waiting for the worker, the work, and until the SDK's polling saw its end. The last line is JSON.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
from openai import OpenAI
from sqlalchemy import select

from harness.figures import percentile, report
from harness.machine import describe_machine
from harness.platform import api_key, free_port
from services.command.supervisor import broker
from services.command.supervisor.launch import prepare
from services.command.supervisor.processes import ProcessSpec, environment, platform_specs
from services.command.supervisor.readiness import awake_workers
from services.contracts.jobs import INDEX_QUEUE
from services.database.engine import open_sessions
from services.database.tables import Job
from services.kit.http import client
from services.kit.settings import Platform

NEEDED = ("broker", "retrieval", "gateway", f"worker-{INDEX_QUEUE}")
START_SECONDS = 300.0
LOOK_SECONDS = 0.02
WORDS_A_PAGE = 450


@contextmanager
def platform_without_a_model(home: Path) -> Iterator[Platform]:
    """The processes that passages come from, started and ready."""
    gateway, dashboard = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    platform = prepare(Platform(home=home, gateway_url=gateway, dashboard_url=dashboard))
    broker.write_config(platform)
    with ExitStack() as stack:
        for spec in platform_specs(platform):
            if spec.name in NEEDED:
                stack.callback(end, start(spec, platform))
        wait_until_ready(platform)
        yield platform


def start(spec: ProcessSpec, platform: Platform) -> subprocess.Popen[bytes]:
    wait_for(lambda: spec.waits_for is None or spec.waits_for.exists())
    variables = {**os.environ, **environment(platform), **spec.env}
    with (platform.log_folder / f"{spec.name}.log").open("ab") as log:
        return subprocess.Popen(spec.argv, env=variables, stdout=log, stderr=log)


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(timeout=60)


def wait_until_ready(platform: Platform) -> None:
    with client(platform.retrieval_url, platform.service_token) as retrieval, client(platform.gateway_url, "") as http:
        wait_for(lambda: answers(retrieval, "/ready") and answers(http, "/health"))
    wait_for(lambda: INDEX_QUEUE in awake_workers(platform, [INDEX_QUEUE]))


def answers(http: httpx.Client, path: str) -> bool:
    with suppress(httpx.TransportError):
        return http.get(path).status_code == 200
    return False


def wait_for(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if time.monotonic() > deadline:
            raise SystemExit(f"the platform was not ready within {START_SECONDS:.0f} s")
        time.sleep(0.1)


def two_pages(number: int, rng: random.Random) -> tuple[str, bytes]:
    """A word that only this file has, and the file."""
    mark = f"zephyrine{number}"
    words = ["brake", "pedal", "saddle", "tyre", "is", "checked", "each", "spring", "by", "the", "workshop"]
    sections = [f"# Manual {number}"]
    for part in range(2 * WORDS_A_PAGE // 90):
        sentences = [" ".join(rng.choices(words, k=15)).capitalize() + "." for _ in range(6)]
        sections.append(f"## Part {part}\n\n" + " ".join(sentences))
    sections.insert(3, f"## The {mark}\n\nThe {mark} is greased every {number + 2} months.")
    return mark, "\n\n".join(sections).encode()


def found(api: OpenAI, store_id: str, mark: str) -> bool:
    """Whether a search for the file's own word returns a passage that has it."""
    hits = api.vector_stores.search(store_id, query=f"How often is the {mark} greased?")
    return any(mark in part.text for hit in hits for part in hit.content)


def measure(api: OpenAI, platform: Platform, store_id: str, number: int, rng: random.Random) -> dict[str, float]:
    """One file's seconds."""
    mark, content = two_pages(number, rng)
    began = time.time()
    row = api.vector_stores.files.upload_and_poll(vector_store_id=store_id, file=(f"manual-{number}.md", content))
    seen = time.time()
    assert row.status == "completed", row
    while not found(api, store_id, mark):
        time.sleep(LOOK_SECONDS)
    answerable = time.time()
    api.vector_stores.files.delete(row.id, vector_store_id=store_id)
    while found(api, store_id, mark):
        time.sleep(LOOK_SECONDS)
    gone = time.time()
    return {
        "upload to answerable": answerable - began,
        "delete to gone": gone - answerable,
        **stages(platform, began, seen),
    }


def stages(platform: Platform, began: float, seen: float) -> dict[str, float]:
    """Where the newest job's time went."""
    with open_sessions(platform.database_url)() as session:
        job = session.scalars(select(Job).order_by(Job.created_at.desc()).limit(1)).one()
    assert job.started_at is not None
    assert job.finished_at is not None
    started, finished = job.started_at.timestamp(), job.finished_at.timestamp()
    return {
        "  uploading, until the job is queued": job.created_at.timestamp() - began,
        "  waiting for the worker": started - job.created_at.timestamp(),
        "  the worker": finished - started,
        "  until the SDK's polling saw it": seen - finished,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=30)
    options = parser.parse_args()
    rng = random.Random(7)
    with (
        tempfile.TemporaryDirectory(prefix="tandem-fresh-") as folder,
        platform_without_a_model(Path(folder) / "home") as platform,
    ):
        api = OpenAI(base_url=f"{platform.gateway_url}/v1", api_key=api_key(platform.home), max_retries=0)
        store_id = api.vector_stores.create(name="Freshness").id
        measured = [measure(api, platform, store_id, number, rng) for number in range(options.files + 1)]
    show(measured[0], measured[1:])


def show(first: dict[str, float], rest: Sequence[dict[str, float]]) -> None:
    print(f"{describe_machine()}\n{len(rest)} files of two pages; the first after the start stands apart\n")
    print(f"{'seconds':40}{'first':>8}{'p50':>8}{'p95':>8}")
    rows = {}
    for name in first:
        values = [one[name] for one in rest]
        rows[name.strip()] = {"first": first[name], "p50": percentile(values, 0.5), "p95": percentile(values, 0.95)}
        print(f"{name:40}" + "".join(f"{value:>8.2f}" for value in rows[name.strip()].values()))
    report("freshness", {"files": len(rest), "seconds": rows})


if __name__ == "__main__":
    main()
