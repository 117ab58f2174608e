"""Processes are killed; the platform mends itself and nothing stored is lost."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from harness.platform import RunningPlatform
from tests.support.notes import note

pytestmark = pytest.mark.long
VICTIMS = ("gateway", "retrieval", "worker-index", "worker-light", "broker", "beat", "dashboard", "generation")
NOTE = "# Lighthouse\n\nThe lighthouse keeper of Brindle Point is called Oda Marsh and starts at 05:35."


def pid_of(platform: RunningPlatform, name: str, seconds: float = 60.0) -> int:
    """The process's id, as soon as it has one: between two starts it has none."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        status = platform.tandem("status", "--json", check=False).stdout  # it exits with 3 while a part is not ready
        pids = {process["name"]: process["pid"] for process in json.loads(status)["processes"]}
        if pids.get(name):
            return int(pids[name])
        time.sleep(0.2)
    raise AssertionError(f"{name} does not run {seconds} s after it should")


def wait_ready(platform: RunningPlatform, seconds: float = 240.0) -> None:
    """Return when every part answers."""
    started = time.monotonic()
    with platform.http() as http:
        while time.monotonic() - started < seconds:
            try:
                if http.get("/ready", timeout=5.0).status_code == 200:
                    return
            except httpx.HTTPError:
                pass  # the gateway is away
            time.sleep(0.5)
    raise AssertionError(f"the platform is not ready {seconds} s after the kill")


def ask(platform: RunningPlatform) -> Any:
    question = "How many days does a customer have to return a purchased bike under the 2026 refund policy?"
    client = platform.openai()
    return client.chat.completions.create(model="tandem/rag", messages=[{"role": "user", "content": question}])


@pytest.fixture(scope="module", autouse=True)
def _leave_it_ready(platform: RunningPlatform) -> Iterator[None]:
    yield
    wait_ready(platform)


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_killed_process_comes_back_and_questions_are_answered(platform: RunningPlatform, victim: str) -> None:
    before = pid_of(platform, victim)
    killed = time.monotonic()
    os.kill(before, signal.SIGKILL)
    while pid_of(platform, victim) == before and time.monotonic() < killed + 60:
        time.sleep(0.5)
    wait_ready(platform)
    note(f"{victim} killed: all ready again after {time.monotonic() - killed:.1f} s")
    assert pid_of(platform, victim) != before
    assert ask(platform).passages


def test_files_indexed_while_worker_and_broker_die_are_all_there_at_the_end(platform: RunningPlatform) -> None:
    client = platform.openai()
    store = client.vector_stores.create(name="chaos")
    files = []
    for number in range(12):
        content = NOTE.replace("05:35", f"05:{10 + number}").encode()
        file = client.files.create(file=(f"note-{number}.md", content), purpose="assistants")
        client.vector_stores.files.create(store.id, file_id=file.id)
        files.append(file.id)
        if number in (3, 7):
            os.kill(pid_of(platform, "worker-index"), signal.SIGKILL)
        if number == 5:
            os.kill(pid_of(platform, "broker"), signal.SIGKILL)
    results = [platform.wait_for_file(store.id, file_id, seconds=300.0) for file_id in files]
    assert {file.status for file in results} == {"completed"}
    found = client.vector_stores.search(store.id, query="lighthouse keeper", max_num_results=20)
    assert {entry.file_id for entry in found.data} == set(files)
    client.vector_stores.delete(store.id)
