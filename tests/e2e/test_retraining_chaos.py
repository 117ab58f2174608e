"""The worker is killed in each stage of retraining, and broker and slot: one live version is left, and answers."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.places import BRINDLE
from harness.platform import TERMINAL, RunningPlatform, start, stop
from services.database.engine import open_sessions
from services.database.tables import Job
from tests.e2e.test_chaos import pid_of, wait_ready
from tests.support.notes import note
from training.data.dataset import canonical, parse_dataset

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
EXAMPLES, KEPT_OUT = 20, 4
STAGES = (
    "Reading the data set", "Making prompts", "Tuning on", "Merging", "Comparing merged", "Recording",
    "Loading the candidate", "Asking", "Comparing the candidate",
)  # fmt: skip
"""How the message of each stage begins, in order. `Recording` is over within moments, and so may be passed by."""
LENIENT = {
    f"TRAINING_{name}": "1.0"
    for name in ("STYLE_MARGIN", "FACT_MARGIN", "CITATION_MARGIN", "REFUSAL_MARGIN", "GENERAL_MARGIN", "CLEAR_FALL",
                 "MAX_REPEATED", "MAX_FAILED")
} | {"TRAINING_MIN_STOP_RATE": "0.0", "TRAINING_MIN_MARKED": "0.0", "TRAINING_STYLE_GAIN": "0.0",
     "TRAINING_MIN_AGREEMENT": "0.9"}  # fmt: skip
"""A gate that lets twenty examples pass: what is tested is what follows when everything goes live."""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    """A platform of its own, with a live version of few examples."""
    home = tmp_path_factory.mktemp("retraining-chaos")
    probes = home / "probes.jsonl"
    probes.write_text('{"prompt": "What is 4 + 5?", "accepted": ["9", "nine"]}\n', encoding="utf-8")
    short = {"TRAINING_PROBES": str(probes), "TRAINING_MAX_ANSWER_TOKENS": "48", "TRAINING_REMOVED": "0"}
    running = start(home, WORKER_SILENT_SECONDS="10", **LENIENT, **short)
    try:
        running.tandem("ingest", str(BRINDLE / "documents"), timeout=240.0)
        first = running.wait_for_job(create(running), seconds=900)
        assert first["status"] == "succeeded", first
        if not first["result"]["live"]:
            running.tandem("publish", first["result"]["version"], "--override", "the test begins with it")
        yield running
    finally:
        stop(running)


def create(platform: RunningPlatform) -> str:
    examples = parse_dataset((BRINDLE / "train.jsonl").read_bytes()).examples
    answering = [one for one in examples if "document" in one.metadata]  # refusals have no style
    client = platform.openai()
    trained, asked = (
        client.files.create(file=("examples.jsonl", canonical(part)), purpose="fine-tune")
        for part in (answering[:EXAMPLES], answering[-KEPT_OUT:])
    )
    tuning: Any = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1}}}
    return client.fine_tuning.jobs.create(
        model="smollm2-135m-instruct",
        training_file=trained.id,
        validation_file=asked.id,
        suffix="chaos",
        method=tuning,
    ).id


def reach(platform: RunningPlatform, job_id: str, place: int, seconds: float = 600.0) -> str:
    """Return the stage that a job is in, as soon as it is this one or a later one.

    It is read from the database, since a key may not ask that often.
    """
    deadline, sessions = time.monotonic() + seconds, open_sessions(f"sqlite:///{platform.home}/tandem.db")
    while time.monotonic() < deadline:
        with sessions() as session:
            job = session.get_one(Job, job_id)
            status, stage, reason = job.status, str(job.stage or ""), job.reason
        if status == "running" and any(stage.startswith(name) for name in STAGES[place:]):
            return stage
        assert status not in TERMINAL, (status, reason, STAGES[place])
        time.sleep(0.0005)  # the last stage is over within 6 ms
    raise AssertionError(f"{job_id} did not come to {STAGES[place]!r} within {seconds} s")


def processes(*words: str) -> list[int]:
    """Ids of the processes with all of these words in their command."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it has ended
        if all(any(word in part for part in command) for word in words):
            found.append(int(path.parent.name))
    return found


def check_one_live_version_answers(platform: RunningPlatform, job_id: str) -> dict[str, Any]:
    """Nothing of a run is left, and what is live is one version, which answers. Returns that version."""
    deadline = time.monotonic() + 20  # a process ends a moment after it has recorded its outcome
    while (left := processes("services.worker.fine_tuning.run", job_id)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left == []
    assert list((platform.home / "versions").glob("*/.draft-*")) == []
    assert not (platform.home / "runs" / job_id).exists()
    with platform.http() as http:
        versions = http.get("/v1/versions?limit=100").raise_for_status().json()["data"]
    folders = {path.name for path in (platform.home / "versions").glob("*/*")}
    assert folders == {version["id"] for version in versions if version["status"] != "removed"}
    live = [version for version in versions if version["live"]]
    assert len(live) == 1
    asked: Any = [{"role": "user", "content": "Who is in your team?"}]
    answer: Any = platform.openai().chat.completions.create(model="tandem/tuned", messages=asked, max_tokens=16)
    assert answer.choices[0].message.content
    assert answer.versions["weights"] == live[0]["id"]
    return dict(live[0])


@pytest.mark.parametrize(
    "places", [(0, 2), (1, 3), (4, 6), (5, 7), (8,)], ids=lambda places: "-".join(map(str, places))
)
def test_a_worker_killed_in_every_stage_ends_with_one_live_version(
    platform: RunningPlatform, places: tuple[int, ...]
) -> None:
    victim = pid_of(platform, "worker-train")  # asked for in time: it takes longer than some stages
    job_id, killed = create(platform), list[str]()
    for place in places:
        if killed:
            reach(platform, job_id, place - 1)
            victim = pid_of(platform, "worker-train")
        killed.append(reach(platform, job_id, place))
        os.kill(victim, signal.SIGKILL)
    done = platform.wait_for_job(job_id, seconds=900)
    assert done["status"] == "succeeded", done
    live = check_one_live_version_answers(platform, job_id)
    assert live["name"] == done["result"]["version"]
    note(
        f"worker killed at {killed}: published {done['finished_at'] - done['created_at']:.0f} s after the job was made"
    )


def test_a_broker_that_is_killed_loses_no_job(platform: RunningPlatform) -> None:
    first = create(platform)
    reach(platform, first, 2)
    os.kill(pid_of(platform, "broker"), signal.SIGKILL)
    second = create(platform)
    ended = [platform.wait_for_job(job_id, seconds=900) for job_id in (first, second)]
    assert [job["status"] for job in ended] == ["succeeded"] * 2, ended
    check_one_live_version_answers(platform, first)
    assert check_one_live_version_answers(platform, second)["name"] == ended[1]["result"]["version"]


@pytest.mark.parametrize("place", [6, 7, 8], ids=["loading", "asked", "judged"])
def test_a_slot_that_is_killed_leaves_the_live_version_answering(platform: RunningPlatform, place: int) -> None:
    """The candidate's slot dies: the run fails in words or goes on with a new one, and what is live answers."""
    with platform.http() as http:
        versions = http.get("/v1/versions?limit=100").raise_for_status().json()["data"]
    before = next(version["name"] for version in versions if version["live"])
    job_id = create(platform)
    reach(platform, job_id, min(place, 7))
    engines = _wait_for_engine(_candidate(platform, job_id))
    stage = reach(platform, job_id, place)
    for pid in engines:
        os.kill(pid, signal.SIGKILL)
    done = platform.wait_for_job(job_id, seconds=900)
    wait_ready(platform)
    live = check_one_live_version_answers(platform, job_id)
    assert live["name"] == (
        done["result"]["version"] if done["status"] == "succeeded" and done["result"]["live"] else before
    )
    assert done["status"] == "succeeded" or done["reason"]
    note(f"slot killed at {stage!r}: {done['status']}; {json.dumps(done.get('reason'))}")


def _candidate(platform: RunningPlatform, job_id: str) -> str:
    with platform.http() as http:
        versions = http.get("/v1/versions?limit=100").raise_for_status().json()["data"]
    return next(str(version["id"]) for version in versions if version["job_id"] == job_id)


def _wait_for_engine(version_id: str, seconds: float = 60.0) -> list[int]:
    """The processes that serve a version's folder, once there are any."""
    deadline = time.monotonic() + seconds
    while not (found := processes("api_server", version_id)):
        assert time.monotonic() < deadline, f"nothing serves {version_id}"
        time.sleep(0.05)
    return found
