"""The outcome of a fine-tuning job: its result, its events, and the file with the metrics of each step."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from services.database.engine import Sessions
from services.database.tables import File, Job, LivePointer, Version
from services.domain.files import write_bytes
from services.domain.jobs import Jobs
from training.tuning.results import StepMetrics

RESULTS_NAME, RESULTS_PURPOSE = "step_metrics.csv", "fine-tune-results"
COLUMNS = (
    "step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy", "full_valid_loss",
)  # fmt: skip


def settled_version(sessions: Sessions, job: Job) -> Version | None:
    """The version of this job that an earlier attempt judged, if that attempt was lost before it could record it."""
    settled = Version.job_id == job.id, Version.status != "candidate"
    with sessions() as session:
        return session.scalar(select(Version).where(*settled).order_by(Version.created_at.desc()).limit(1))


def record_outcome(
    sessions: Sessions, jobs: Jobs, job: Job, version_id: str, history: Sequence[StepMetrics], files_url: str
) -> None:
    """End the job with the version that it made: live, or refused by the gate."""
    with sessions() as session:
        version = session.get_one(Version, version_id)
        pointer = session.get(LivePointer, job.workspace_id)
    about, is_live = version.settings["lora"], pointer is not None and pointer.version_id == version.id
    content = metrics_csv(history, about["loss_after"])
    outcome: dict[str, Any] = {
        "version": version.name,
        "version_id": version.id,
        "live": is_live,
        "result_files": [_store(sessions, job, content, files_url)],
        "trained_tokens": about["tokens"],
        "loss_before": round(about["loss_before"], 4),
        "loss_after": round(about["loss_after"], 4),
        "tokens_per_second": about["tokens_per_second"],
        "parity": version.settings["parity"],
        "asked": version.metrics.get("asked"),
    }
    message = f"{version.name} {'is live' if is_live else 'is not live'}. {version.gate['summary']}"
    for check in version.gate["checks"]:
        jobs.add_event(job, check["sentence"], level="info" if check["passed"] else "warn")
    jobs.add_event(job, message, data=outcome)
    jobs.finish(job.id, "succeeded", message, outcome)


def metrics_csv(history: Sequence[StepMetrics], full_valid_loss: float) -> bytes:
    """One line for each step; empty if nothing was measured. The loss of all held-out rows is in the last line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for step in history:
        measured = (step.train_loss, step.train_accuracy, step.valid_loss, step.valid_accuracy)
        full = full_valid_loss if step is history[-1] else None
        writer.writerow([step.step, *("" if value is None else f"{value:.5f}" for value in (*measured, full))])
    return text.getvalue().encode()


def _store(sessions: Sessions, job: Job, content: bytes, files_url: str) -> str:
    """Store the job's only result file; a second call returns the same file. Returns its id."""
    file_id = f"file-{job.id.removeprefix('ftjob-')}"
    path = f"{files_url.rstrip('/')}/{job.workspace_id}/{file_id}"
    write_bytes(path, content)
    row = File(id=file_id, workspace_id=job.workspace_id, filename=RESULTS_NAME, purpose=RESULTS_PURPOSE,
               bytes=len(content), sha256=hashlib.sha256(content).hexdigest(), path=path)  # fmt: skip
    with sessions.begin() as session:
        session.merge(row)
    return file_id
