"""The platform of today on a home that an earlier version left: it starts, answers, and goes on with what is there.

tests/upgrade/make_home.py says how such a home was made. What is asked here was asked then, and the answers noted.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from harness.platform import RunningPlatform, start, stop
from tests.support.notes import note
from tests.upgrade.home import HOMES, OldHome, unpack
from training.weights.registry import verify_manifest

pytestmark = pytest.mark.heavy

MISSED = "2026-01-05 03:30:00.000000"
"""A due time long ago: the platform was off at many since."""
SCORE_DIFFERENCE = 0.01
LEFT_OF_THE_WAY = 0.02
"""So near the resumed run's weights come to those of the run that was never paused, as a share of the way from the base
weights; on the machine that began the run they are the same to the last bit."""


class Upgraded(RunningPlatform):
    """`old` is the home as it was found."""

    old: OldHome

    def __init__(self, old: OldHome, running: RunningPlatform) -> None:
        super().__init__(running.home, running.gateway_url, running.dashboard_url, running.environment)
        object.__setattr__(self, "old", old)

    def get(self, path: str) -> Any:
        with self.http() as http:
            return http.get(path).raise_for_status().json()

    def post(self, path: str, **body: Any) -> Any:
        with self.http() as http:
            return http.post(path, json=body).raise_for_status().json()

    def search(self, store_id: str, query: str, count: int = 3) -> list[Any]:
        found = self.post(f"/v1/vector_stores/{store_id}/search", query=query, max_num_results=count)
        return list(found["data"])


@pytest.fixture(scope="module", params=HOMES)
def upgraded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgraded]:
    """The platform over the old home, a week or more after it was stopped, with its paused run going on."""
    old = unpack(request.param, tmp_path_factory.mktemp("upgraded"))
    with sqlite3.connect(old.folder / "tandem.db") as database:
        for table in ("training_schedules", "sources"):
            database.execute(f"UPDATE {table} SET next_due_at = ?", (MISSED,))
    database.close()
    began = time.monotonic()
    running = start(old.folder, CONFIG=str(old.config))
    try:
        note(f"an old home answers {time.monotonic() - began:.0f} s after the start over it")
        platform = Upgraded(old, running)
        platform.post(f"/v1/fine_tuning/jobs/{old.then['paused']}/resume")
        yield platform
    finally:
        stop(running)


def until(check: Callable[[], Any], what: str, seconds: float = 120.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := check():
            return found
        time.sleep(0.5)
    raise AssertionError(f"after {seconds:.0f} s still not so: {what}")


def test_the_key_of_then_is_taken_and_lists_the_stores_and_files_of_then(upgraded: Upgraded) -> None:
    then, client = upgraded.old.then, upgraded.openai()
    assert upgraded.key == then["key"]
    assert {store.id for store in client.vector_stores.list()} == set(then["stores"].values())
    for name, files in then["files"].items():
        listed = client.vector_stores.files.list(then["stores"][name], limit=100)
        assert {(file.id, file.status) for file in listed if file.id != then["late"]} == {
            (file_id, "completed") for file_id in files
        }
    lock = next(file for file in client.files.list(limit=1000) if file.filename == "lock.md")
    assert b"The lock costs 14 pounds." in client.files.content(lock.id).content


def test_a_search_finds_what_it_found_then_in_the_same_order(upgraded: Upgraded) -> None:
    then = upgraded.old.then
    for asked in then["searches"]:
        found = upgraded.search(then["stores"][asked["store"]], asked["query"])
        rows = [(one["filename"], one["content"][0]["text"]) for one in found]
        assert rows == [(one["file"], one["text"]) for one in asked["found"]], asked["query"]
        scores = [one["score"] for one in asked["found"]]
        assert [one["score"] for one in found] == pytest.approx(scores, abs=SCORE_DIFFERENCE), asked["query"]


def test_the_live_version_of_then_answers_with_a_citation(upgraded: Upgraded) -> None:
    asked: Any = [{"role": "user", "content": "What does the lock cost?"}]
    answer: Any = upgraded.openai().chat.completions.create(model="tandem/hybrid", messages=asked, temperature=0.0)
    message = answer.choices[0].message
    assert "costs 14 pounds" in message.content
    assert [(one["filename"], one["supported"]) for one in message.citations][:1] == [("lock.md", True)]
    assert answer.versions["weights"] == _version(upgraded, "live")["id"]


def test_the_versions_of_then_are_as_they_were_and_their_weights_whole(upgraded: Upgraded) -> None:
    live, refused = _version(upgraded, "live"), _version(upgraded, "refused")
    assert (live["live"], live["status"], refused["live"], refused["status"]) == (True, "published", False, "refused")
    for version in (live, refused):
        verify_manifest(upgraded.home / "versions" / "default" / version["id"])
    history = upgraded.get("/v1/versions/history?limit=100")["data"]
    assert [event["event"] for event in history[::-1]][:3] == ["moved", "canary_started", "canary_ended"]


def test_answers_feedback_examples_and_data_sets_of_then_are_there(upgraded: Upgraded) -> None:
    then = upgraded.old.then
    answer = upgraded.get(f"/v1/answers/{then['grounded']['id']}")
    assert answer["answer"] == then["grounded"]["choices"][0]["message"]["content"]
    assert upgraded.openai().responses.retrieve(then["response"]).id == then["response"]
    assert sorted(one["rating"] for one in upgraded.get("/v1/feedback")["data"]) == then["feedback"]
    examples = upgraded.get("/v1/examples?limit=100")["data"]
    assert sorted(f"{one['kind']} {one['status']} {one['answer']}" for one in examples) == then["examples"]
    sets = {(one["name"], one["use"], one["examples"]) for one in upgraded.get("/v1/data_sets")["data"]}
    assert ("judged by", "evaluation", 2) in sets


def test_what_was_uploaded_before_the_upgrade_is_indexed_after_it(upgraded: Upgraded) -> None:
    then = upgraded.old.then
    file = f"/v1/vector_stores/{then['stores']['default']}/files/{then['late']}"
    until(lambda: upgraded.get(file)["status"] == "completed", "the late file is indexed")
    found = upgraded.search(then["stores"]["default"], "What does the basket cost?")
    assert found[0]["filename"] == "basket.md"


def test_a_store_of_then_is_written_to_and_built_anew(upgraded: Upgraded) -> None:
    store, client = upgraded.old.then["stores"]["workshop"], upgraded.openai()
    text = b"# Ferry\n\nThe ferry to the island takes bicycles for three crowns."
    added = client.files.create(file=("ferry.md", text), purpose="assistants")
    client.vector_stores.files.create(store, file_id=added.id)
    assert upgraded.wait_for_file(store, added.id).status == "completed"
    assert upgraded.search(store, "the ferry to the island")[0]["filename"] == "ferry.md"
    gone = next(one for one in upgraded.search(store, "How long is parental leave?") if "leave" in one["filename"])
    client.vector_stores.files.delete(gone["file_id"], vector_store_id=store)
    job = upgraded.post(f"/v1/vector_stores/{store}/reindex", force=True)
    assert upgraded.wait_for_job(job["id"], seconds=120.0)["status"] == "succeeded"
    assert upgraded.search(store, "the ferry to the island")[0]["filename"] == "ferry.md"
    assert gone["filename"] not in {one["filename"] for one in upgraded.search(store, "parental leave", count=20)}


def test_what_was_due_many_times_while_the_platform_was_off_is_done_once(upgraded: Upgraded) -> None:
    schedule = f"/v1/schedules/{upgraded.old.then['schedule']}"
    run = until(lambda: upgraded.get(schedule)["last_run"], "the schedule has run")
    assert run["outcome"].startswith("skipped: ")
    assert upgraded.get(schedule)["next_due_at"] > time.time()
    until(lambda: len(_syncs(upgraded)) == 2, "the source was looked at again, beside the sync of then")
    assert upgraded.get("/v1/sources")["data"][0]["next_due_at"] > time.time()
    with sqlite3.connect(upgraded.home / "tandem.db") as database:
        assert database.execute("SELECT count(*) FROM schedule_runs").fetchone() == (2,)
    database.close()


def test_the_run_that_was_paused_goes_on_from_its_checkpoint_and_ends_as_if_it_had_not_been(upgraded: Upgraded) -> None:
    then = upgraded.old.then
    job = upgraded.wait_for_job(then["paused"], seconds=300.0)
    assert job["status"] == "succeeded", job
    events = [one.message for one in upgraded.openai().fine_tuning.jobs.list_events(then["paused"], limit=100)]
    assert any(message.startswith(f"Going on from the checkpoint of step {then['step']} of") for message in events)
    versions = {one["name"]: one["id"] for one in upgraded.get("/v1/versions?limit=100")["data"]}
    folder = upgraded.home / "versions" / "default"
    resumed, whole = folder / versions[job["result"]["version"]], folder / versions[then["live"]]
    left = distance(resumed, whole) / distance(upgraded.home / "models" / "shop", whole)
    note(f"a resumed run of then ends {left:.4f} of the way from the run that was never paused (0: the same bits)")
    assert left <= LEFT_OF_THE_WAY


def distance(one: Path, other: Path) -> float:
    """The Euclidean distance between the weights of two folders."""
    first, second = (load_file(folder / "model.safetensors") for folder in (one, other))
    squares = [float((first[name].float() - second[name].float()).square().sum()) for name in second]
    return float(torch.tensor(squares).sum().sqrt())


def _version(upgraded: Upgraded, which: str) -> Any:
    return upgraded.get(f"/v1/versions/{upgraded.old.then[which]}")


def _syncs(upgraded: Upgraded) -> list[Any]:
    jobs = upgraded.get("/v1/jobs?limit=100")["data"]
    return [job for job in jobs if job["kind"] == "sync_source" and job["status"] == "succeeded"]
