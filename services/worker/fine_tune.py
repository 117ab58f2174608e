"""One fine-tuning job, in a process of its own: `python -m services.worker.fine_tune JOB`.

It writes progress, events and outcome of its job to the database; the worker that started it watches and cancels.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import fsspec

from services.database.data_sets import FrozenSets
from services.database.engine import open_sessions
from services.database.jobs import Jobs
from services.database.tables import File, Job
from services.kit.http import client
from services.kit.logging import configure
from services.kit.parent import die_with_parent
from services.kit.settings import DataSetSettings, Platform
from services.worker.data_sets import RunDataSets
from services.worker.ports import GenerationSlots, LiveRetriever, VersionList, version_folder
from services.worker.retrieval_client import RetrievalWriter
from services.worker.settings import WorkerSettings
from training.config import DatasetSettings, EvaluationSettings, LoraSettings, MixSettings
from training.errors import Cancelled, TrainingError
from training.model import RunProgress
from training.pipeline import run
from training.request import Ports, RunRequest, RunResult, Settings
from training.weights import materialize

log = logging.getLogger(__name__)
CANCEL_CHECK_SECONDS = 0.5
EVENT_SECONDS = 5.0
ETA_FROM = 0.05


class Report:
    """Progress of a run into its job's row and events, and the run's ear for cancellation."""

    def __init__(self, jobs: Jobs, job: Job) -> None:
        self._jobs, self._job = jobs, job
        self._started, self._asked_at, self._cancelled = time.monotonic(), 0.0, False
        self._stage, self._said_at = "", 0.0

    def progress(self, step: RunProgress) -> None:
        elapsed = time.monotonic() - self._started
        eta = elapsed * (1 - step.fraction) / step.fraction if step.fraction >= ETA_FROM else None
        self._jobs.progress(self._job.id, step.message[:250], step.fraction, eta)
        new_stage = step.stage != self._stage
        if new_stage or step.tells or (step.data and time.monotonic() - self._said_at >= EVENT_SECONDS):
            self._jobs.add_event(self._job, step.message, data=dict(step.data))
            self._stage, self._said_at = step.stage, time.monotonic()

    def cancelled(self) -> bool:
        if time.monotonic() - self._asked_at >= CANCEL_CHECK_SECONDS:
            self._asked_at = time.monotonic()
            self._cancelled = self._jobs.cancel_requested(self._job.id)
        return self._cancelled


def main(job_id: str) -> None:
    die_with_parent()
    configure("fine-tune")
    platform, settings = Platform(), WorkerSettings()
    sessions = open_sessions(platform.database_url)
    jobs = Jobs(sessions)
    with sessions() as session:
        job = session.get_one(Job, job_id)
        file = session.get_one(File, job.request["training_file"])
    versions, report = VersionList(sessions, job), Report(jobs, job)
    versions.discard_leftovers()
    work = platform.home / "runs" / job.id
    try:
        retriever = RetrievalWriter(client(platform.retrieval_url, platform.service_token, 60.0))
        generation = client(platform.generation_url, platform.service_token, 60.0)
        slots = GenerationSlots(generation, job.workspace_id, settings.load_timeout)
        data_sets = RunDataSets(FrozenSets(sessions, platform.files_url), job.workspace_id, file)
        ports = Ports(LiveRetriever(sessions, retriever, job.workspace_id), versions, slots, data_sets)
        result = run(_request(job, file, platform, settings, work), ports, report.progress, report.cancelled)
    except Cancelled as stopped:
        jobs.add_event(job, str(stopped), level="warn")
        jobs.finish(job.id, "cancelled", str(stopped))
    except TrainingError as error:
        jobs.add_event(job, str(error), level="error")
        jobs.finish(job.id, "failed", str(error))
    else:
        _record(jobs, job, versions, result)
    shutil.rmtree(work, ignore_errors=True)


def _request(job: Job, file: File, platform: Platform, settings: WorkerSettings, work: Path) -> RunRequest:
    with fsspec.open(file.path, "rb") as stored:
        data = stored.read()
    return RunRequest(
        version_id=f"ver-{secrets.token_hex(8)}",
        data=data,
        base=materialize(platform.base_model, platform.models_folder),
        base_model=Path(platform.base_model).name,
        work=work,
        versions=version_folder(platform.versions_folder, job.workspace_id),
        general=settings.general_examples.read_bytes(),
        settings=_settings(job, platform, settings),
    )


def _settings(job: Job, platform: Platform, settings: WorkerSettings) -> Settings:
    seed, asked = int(job.request["seed"]), job.request["hyperparameters"]
    lora = LoraSettings(seed=seed, threads=settings.train_threads or len(os.sched_getaffinity(0)))
    if asked["n_epochs"] != "auto":
        lora = replace(lora, num_train_epochs=float(asked["n_epochs"]))
    if asked["batch_size"] != "auto":
        lora = replace(lora, per_device_train_batch_size=int(asked["batch_size"]))
    if asked["learning_rate_multiplier"] != "auto":
        lora = replace(lora, learning_rate=lora.learning_rate * float(asked["learning_rate_multiplier"]))
    served: dict[str, Any] = {"top_k": platform.top_k, "min_answerability": platform.min_answerability}
    return Settings(
        dataset=DatasetSettings(**DataSetSettings().model_dump()),
        lora=lora,
        mix=MixSettings(seed=seed, **served),
        evaluation=EvaluationSettings(**served),
    )


def _record(jobs: Jobs, job: Job, versions: VersionList, result: RunResult) -> None:
    outcome: dict[str, Any] = {
        "version": versions.name(result.version_id),
        "version_id": result.version_id,
        "live": result.published,
        "trained_tokens": result.lora.tokens,
        "loss_before": round(result.lora.loss_before, 4),
        "loss_after": round(result.lora.loss_after, 4),
        "tokens_per_second": round(result.lora.tokens_per_second, 1),
        "parity": asdict(result.parity),
    }
    verdict = "is live" if result.published else "is not live"
    message = f"{outcome['version']} {verdict}. {result.gate.summary}"
    for check in result.gate.checks:
        jobs.add_event(job, check.sentence, level="info" if check.passed else "warn")
    jobs.add_event(job, message, data=outcome)
    jobs.finish(job.id, "succeeded", message, outcome)


if __name__ == "__main__":
    main(sys.argv[1])
