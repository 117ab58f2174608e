"""The generation service as a process with real vLLM: load, publish and roll back under a streaming client."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from services.contracts.generation import Route, RoutingTable, SlotBody
from services.database.engine import migrate, open_sessions
from services.database.tables import Publication, Version, Workspace
from services.generation.engines.process import session_members
from services.kit.events import read_events
from services.kit.http import client
from services.kit.settings import Platform
from training.weights.registry import write_manifest

pytestmark = pytest.mark.heavy

TOKEN = "for-this-test-only"
WORDS = "Tell me about the history of bicycles."


def version_row(name: str, path: str) -> Version:
    return Version(
        id=name, name=f"ft:base:x:{name}", workspace_id="w", base_model="base", path=path, dataset_hash="",
        template_fingerprint="", settings={}, status="candidate",
    )  # fmt: skip


def wait_for(look: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, f"it did not happen within {seconds} s"
        time.sleep(0.25)


@dataclass
class Service:
    """One running generation service and a client of it."""

    platform: Platform
    process: subprocess.Popen[bytes]
    http: httpx.Client

    @classmethod
    def start(cls, platform: Platform, **settings: str) -> Service:
        """Start it for this platform. The settings are its own, by their names in capitals."""
        values = {"home": platform.home, "base_model": platform.base_model, "service_token": TOKEN}
        own = {"TANDEM_CONFIG": str(platform.home / "none.toml")}
        own |= {f"TANDEM_{name.upper()}": str(value) for name, value in values.items()}
        own |= {f"TANDEM_GENERATION_{name}": value for name, value in settings.items()}
        process = subprocess.Popen([sys.executable, "-m", "services.generation"], env={**os.environ, **own})
        service = cls(platform, process, client(platform.generation_url, TOKEN))
        wait_for(service.answers, 30)
        return service

    def answers(self) -> bool:
        try:
            return self.http.get("/health").status_code == 200
        except httpx.HTTPError:
            return False

    def ready(self) -> bool:
        return self.http.get("/ready").status_code == 200

    def table(self) -> RoutingTable:
        return RoutingTable.model_validate(self.http.get("/routing").raise_for_status().json())

    def slots(self) -> dict[str, SlotBody]:
        """Slots by the model that they serve."""
        rows = (SlotBody.model_validate(row) for row in self.http.get("/slots").raise_for_status().json())
        return {row.model: row for row in rows}

    def post(self, path: str, version: str | None = None) -> httpx.Response:
        body = {"workspace_id": "w"} | ({"version_id": version} if version else {})
        return self.http.post(path, json=body)

    def live(self) -> str | None:
        route = self.table().live.get("w")
        return route.version_id if route else None

    def loaded(self, version: str) -> bool:
        slot = self.slots()[version]
        assert slot.state != "failed", slot.error
        return slot.state == "ready"


@dataclass
class Streamer:
    """Asks the workspace's live model for one long answer after another, as the gateway does: the table first."""

    service: Service
    answers: list[set[str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    longest_wait: float = 0.0
    _ending: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Streamer:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ending.set()
        assert self._thread is not None
        self._thread.join(60)

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self.answers.append(self.answer(self.service.table().live["w"]))
            except (httpx.HTTPError, KeyError) as error:
                self.failures.append(repr(error))

    def answer(self, route: Route) -> set[str]:
        """The names of the models that answered."""
        body = {"model": route.model, "messages": [{"role": "user", "content": WORDS}], "max_tokens": 100}
        models, count, last = set(), 0, time.monotonic()
        with (
            client(route.address, token="", timeout=60) as http,
            http.stream("POST", "/v1/chat/completions", json=body | {"stream": True, "ignore_eos": True}) as response,
        ):
            for data in read_events(response.raise_for_status()):
                if data != "[DONE]":
                    now = time.monotonic()
                    self.longest_wait, last = max(self.longest_wait, now - last), now
                    event = json.loads(data)
                    models.add(event["model"])
                    count += any(choice["delta"].get("content") for choice in event["choices"])
        assert count > 50, "the answer broke off"
        return models


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, base_weights: Path) -> Platform:
    """A home with two good versions of workspace `w`, v1 and v2, and `broken` with one byte changed."""
    home = tmp_path_factory.mktemp("home")
    platform = Platform(home=home, base_model=str(base_weights), service_token=TOKEN)
    migrate(platform.database_url)
    for name in ("v1", "v2", "broken"):
        folder = platform.versions_folder / "w" / name
        shutil.copytree(base_weights, folder)
        write_manifest(folder, "base", "")
    damage(platform.versions_folder / "w" / "broken" / "model.safetensors")
    with open_sessions(platform.database_url).begin() as session:
        session.add(Workspace(id="w", name="W"))
        session.flush()
        session.add_all([version_row(name, f"w/{name}") for name in ("v1", "v2", "broken")])
    return platform


def damage(file: Path) -> None:
    file.chmod(0o644)
    with file.open("r+b") as opened:
        opened.seek(-1, os.SEEK_END)
        last = opened.read(1)
        opened.seek(-1, os.SEEK_END)
        opened.write(bytes([last[0] ^ 1]))


@pytest.fixture(scope="module")
def service(platform: Platform) -> Iterator[Service]:
    """The service with base ready and v1 live. The tests run in order, each from where the one before left it."""
    running = Service.start(platform)
    assert "not_ready" in running.http.get("/ready").text
    wait_for(lambda: "base" in running.slots(), 30)
    assert running.post("/load", "v1").status_code == 202
    assert running.post("/load", "v2").json()["error"]["code"] == "spare_held"
    assert running.post("/publish", "v1").json()["error"]["code"] == "version_not_loaded"
    wait_for(lambda: running.loaded("v1") and running.ready(), 150)
    assert running.table().live == {}
    assert running.post("/publish", "v1").status_code == 200
    yield running
    guards = {slot.pid for slot in running.slots().values() if slot.pid}
    running.process.terminate()
    running.process.wait(20)
    assert [member for guard in guards for member in session_members(guard)] == []


def test_a_version_whose_weights_have_changed_is_not_started(service: Service) -> None:
    assert service.post("/load", "broken").status_code == 202
    wait_for(lambda: service.slots()["broken"].state == "failed", 10)
    error = service.slots()["broken"].error or ""
    assert "The tensor model." in error
    assert "has changed" in error
    assert "broken" not in service.table().versions


def test_a_publish_and_a_rollback_fail_no_stream_and_mix_no_versions(service: Service) -> None:
    with Streamer(service) as streamer:
        assert service.post("/load", "v2").status_code == 202
        wait_for(lambda: service.loaded("v2"), 150)
        published = service.post("/publish", "v2").raise_for_status().json()
        assert (published["version_id"], published["previous_version_id"]) == ("v2", "v1")
        assert service.live() == "v2"
        assert service.slots()["v1"].state == "draining"
        wait_for(lambda: {"v2"} in streamer.answers, 30)
        wait_for(lambda: service.slots()["v1"].state == "ready", 30)
        rolled_back = service.post("/rollback")
        assert rolled_back.status_code == 200
        seen = len(streamer.answers)
        wait_for(lambda: {"v1"} in streamer.answers[seen + 1 :], 30)
    assert streamer.failures == []
    assert {len(models) for models in streamer.answers} == {1}
    print(
        f"\n{len(streamer.answers)} answers, pointer moved in {published['moved_ms']:.1f} ms, back in "
        f"{rolled_back.json()['moved_ms']:.1f} ms, longest wait for a token {streamer.longest_wait:.2f} s"
    )


def test_a_canary_answers_beside_the_live_version_until_its_engine_dies(platform: Platform, service: Service) -> None:
    assert service.live() == "v1"
    bounds = {"share": 0.5, "margin": 0.05, "min_requests": 5, "replace": True}
    asked = {"workspace_id": "w", "version_id": "v2", "by": "key-1", **bounds}
    assert service.http.post("/canary", json=asked).status_code == 202
    wait_for(lambda: "w" in service.table().canaries, 150)
    assert service.http.post("/canary", json=asked).json()["error"]["code"] == "canary_refused"
    with Streamer(service) as streamer:
        assert streamer.answer(service.table().versions["v2"]) == {"v2"}
        guard = service.slots()["v2"].pid
        assert guard is not None
        for member in session_members(guard):
            os.kill(member, signal.SIGKILL)
        wait_for(lambda: service.table().canaries == {}, 10)
        wait_for(lambda: len(streamer.answers) > 1, 60)
    assert (streamer.failures, set.union(*streamer.answers)) == ([], {"v1"})
    with open_sessions(platform.database_url)() as session:
        events = session.scalars(select(Publication).order_by(Publication.id.desc()).limit(2)).all()
    assert [(one.event, one.version_id, one.by) for one in events] == [
        ("canary_ended", "v2", None),
        ("canary_started", "v2", "key-1"),
    ]
    assert "Its slot failed" in events[0].reason


def test_a_live_engine_that_crashes_is_started_again_with_the_same_weights(service: Service) -> None:
    assert service.live() == "v1"
    guard = service.slots()["v1"].pid
    assert guard is not None
    for member in session_members(guard):
        os.kill(member, signal.SIGKILL)
    wait_for(lambda: service.live() is None and "v1" in service.table().loading, 10)
    wait_for(lambda: service.live() == "v1", 150)
    assert service.slots()["v1"].pid != guard


def test_a_service_that_is_killed_leaves_no_engine_and_a_cold_start_serves_the_pointer(
    platform: Platform, service: Service
) -> None:
    left = {slot.pid for slot in service.slots().values() if slot.pid}
    service.process.kill()
    service.process.wait(5)
    wait_for(lambda: not [member for guard in left for member in session_members(guard)], 15)
    service.process = Service.start(platform, SERVE_BASE="false").process
    wait_for(lambda: service.live() == "v1", 150)
    assert service.ready()
    assert service.table().base is None
