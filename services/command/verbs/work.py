"""`tandem train`, `jobs`, `reindex`, `publish` and `rollback`: starts long work and follows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from services.command.api import Api, escape
from services.command.errors import CommandError
from services.command.output import Output, seconds
from services.contracts.jobs import ACTIVE

ASK_EVERY_S = 1.0
LOAD_WITHIN_S = 900.0
LOAD_ASK_EVERY_S = 3.0
FIRST = ("running", "failed", "queued", "paused")
FAILED_SHOWN = 20
Job = dict[str, Any]


def train(api: Api, path: Path, suffix: str | None) -> Job:
    """Upload the examples and queue a run on them. Raises Refused if a line of the file is wrong."""
    with path.open("rb") as content:
        file = api.upload(path.name, content, "fine-tune")
    body = {"model": "tandem/base", "training_file": file["id"]} | ({"suffix": suffix} if suffix else {})
    return api.post("/v1/fine_tuning/jobs", body)


def train_embedder(api: Api, store: str | None, max_steps: int | None) -> Job:
    """Queue a tuning of the embedder; if such a job is already under way, return that job."""
    asked = {"vector_store_id": store, "max_steps": max_steps}
    return api.post("/v1/embedders", {name: value for name, value in asked.items() if value is not None})


def find(api: Api, job_id: str) -> Job:
    return api.get(f"/v1/jobs/{escape(job_id)}")


def overview(api: Api) -> list[Job]:
    """Running jobs, failed jobs, waiting jobs, then the rest; each by kind, the newest first.

    Running and failed jobs are requested separately: if thousands of files wait, the latest jobs contain neither.
    """
    asked: tuple[dict[str, str | int], ...] = ({"status": "running"}, {"status": "failed", "limit": FAILED_SHOWN}, {})
    found = {job["id"]: job for one in asked for job in api.get("/v1/jobs", **one)["data"]}
    return sorted(found.values(), key=_place)


def _place(job: Job) -> tuple[int, str, float]:
    status = job["status"]
    return FIRST.index(status) if status in FIRST else len(FIRST), job["kind"], -job["created_at"]


def order(api: Api, job_id: str, what: str) -> Job:
    """Ask a job to `cancel`, `pause` or `resume`; a finished one stays unchanged. Raises Refused if the job cannot do
    it.
    """
    return api.post(f"/v1/jobs/{escape(job_id)}/{what}")


def reindex(api: Api, store_id: str, settings: dict[str, Any]) -> Job:
    """Queue a re-indexing with other settings."""
    return api.post(f"/v1/vector_stores/{escape(store_id)}/reindex", settings)


def reindex_back(api: Api, store_id: str) -> Job:
    """Queue the return to the previous index."""
    return api.post(f"/v1/vector_stores/{escape(store_id)}/rollback")


def follow(api: Api, job_id: str, output: Output, title: str) -> Job:
    """Wait until a job ends or is paused, and show its events as they arrive. Leaving does not stop the job."""
    last_event = 0
    with output.bar(title) as bar:
        while True:
            job = find(api, job_id)
            last_event = _tell_events(api, job_id, last_event, output)
            if job["status"] not in ACTIVE:
                bar.show(1.0 if job["status"] == "succeeded" else job["progress"], job["status"])
                return job
            left = f", {seconds(job['eta_seconds'])} left" if job.get("eta_seconds") else ""
            bar.show(job["progress"], f"{job['stage']}{left}")
            api.pause(ASK_EVERY_S)


def _tell_events(api: Api, job_id: str, after: int, output: Output) -> int:
    events = api.get(f"/v1/jobs/{escape(job_id)}/events", limit=100)["data"]
    news = [event for event in reversed(events) if _number(event) > after]
    for event in news:
        output.remark(event["message"])
    return max([after, *map(_number, news)])


def _number(event: dict[str, Any]) -> int:
    return int(str(event["id"]).rpartition("-")[2])


def check(job: Job, wanted: str = "succeeded") -> None:
    """Raises CommandError for a job that neither succeeded nor ended because somebody asked it to."""
    if job["status"] not in ("succeeded", "paused", wanted):
        raise CommandError(f"The job {job['id']} {_ended(job)}: {job.get('reason') or 'no reason recorded'}")


def _ended(job: Job) -> str:
    return "failed" if job["status"] == "failed" else "was cancelled"


def in_words(job: Job) -> str:
    """One job in readable form."""
    lines = [f"{job['id']}: {job['kind']}, {job['status']}, {job['stage']}, {job['progress']:.0%}"]
    if job.get("eta_seconds"):
        lines.append(f"{seconds(job['eta_seconds'])} left")
    if job.get("reason"):
        lines.append(str(job["reason"]))
    lines += [f"{name}: {value}" for name, value in (job.get("result") or {}).items() if not isinstance(value, dict)]
    return "\n".join(lines)


def publish(api: Api, name: str, output: Output, override: str | None = None) -> dict[str, Any]:
    """Make a version live; a version that no slot serves is loaded first. `override` is the reason to publish one that
    the gate did not pass.

    Raises CommandError if it does not load within 15 minutes.
    """
    asked = {"override": True, "reason": override} if override else {}
    with output.bar(f"Publishing {name}") as bar:
        for _ in _waits():
            answer = api.post(f"/v1/versions/{escape(name)}/publish", asked)
            if answer.get("status") != "loading":
                bar.show(1.0, "live")
                return {"version": name, **answer}
            bar.show(0.5, "loading its weights")
            api.pause(LOAD_ASK_EVERY_S)
    raise CommandError(f"'{name}' was not loaded within {seconds(LOAD_WITHIN_S)}; see `tandem status`.")


def roll_back(api: Api, output: Output) -> dict[str, Any]:
    """Make the previous version live again, or the base weights if there is none. A version without a slot is loaded
    first; then generation completes the rollback by itself.

    Raises CommandError if the version does not load within 15 minutes.
    """
    target = next((version for version in api.every("/v1/versions") if version["previous"]), None)
    if target is None:
        api.post("/v1/versions/rollback")
        return {"version": "tandem/base", "version_id": None}
    with output.bar(f"Rolling back to {target['name']}") as bar:
        api.post("/v1/versions/rollback")
        for _ in _waits():
            if api.get(f"/v1/versions/{escape(target['name'])}")["live"]:
                bar.show(1.0, "live")
                return {"version": target["name"], "version_id": target["id"]}
            bar.show(0.5, "loading its weights")
            api.pause(LOAD_ASK_EVERY_S)
    raise CommandError(f"'{target['name']}' was not loaded within {seconds(LOAD_WITHIN_S)}; see `tandem status`.")


def _waits() -> range:
    return range(int(LOAD_WITHIN_S / LOAD_ASK_EVERY_S))
