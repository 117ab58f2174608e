"""Runs one fine-tuning job in its own process: `python -m services.worker.fine_tuning.run JOB`.

It writes the progress, events and outcome of its job to the database. The worker (`job.py`) starts, watches and ends
it.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from services.database.engine import Sessions, open_sessions
from services.database.tables import File, Job, Version
from services.domain.checkpoints import record_checkpoint
from services.domain.data_sets import FrozenSets
from services.domain.files import read_bytes
from services.domain.jobs import Jobs
from services.domain.versions import REMOVED
from services.kit.http import client
from services.kit.logging import configure
from services.kit.parent import die_with_parent
from services.kit.settings import DataSetSettings, Platform
from services.worker.data_sets.data_sets import RunDataSets
from services.worker.data_sets.sides import PastRuns
from services.worker.fine_tuning.judge import HttpJudge
from services.worker.fine_tuning.leftovers import sweep_run, version_prefix, work_folder
from services.worker.fine_tuning.outcome import record_outcome, settled_version
from services.worker.fine_tuning.ports import GenerationSlots, LiveRetriever, VersionList, version_folder
from services.worker.fine_tuning.room import check_room, is_disk_full
from services.worker.retrieval_client import RetrievalWriter
from services.worker.settings import TrainingSettings, WorkerSettings
from training.config import LoraSettings
from training.errors import Cancelled, OutOfRange, ProcessLost, TrainingError
from training.hardware import VISIBLE_DEVICES, choose, visible_gpus
from training.pipeline import run
from training.progress import RunProgress
from training.request import Ports, RunRequest, Settings
from training.tuning import checkpoints
from training.weights.base import materialize
from training.writing import keep

log = logging.getLogger(__name__)
CANCEL_CHECK_SECONDS = 0.5
EVENT_SECONDS = 5.0
ETA_FROM = 0.05


class Report:
    """Writes a run's progress into its job's row and events, and says whether the run must stop."""

    def __init__(self, sessions: Sessions, jobs: Jobs, job: Job) -> None:
        self._sessions, self._jobs, self._job = sessions, jobs, job
        self._started, self._asked_at, self._told_to_stop = time.monotonic(), 0.0, False
        self._stage, self._said_at = "", 0.0

    def progress(self, step: RunProgress) -> None:
        elapsed = time.monotonic() - self._started
        eta = elapsed * (1 - step.fraction) / step.fraction if step.fraction >= ETA_FROM else None
        self._jobs.progress(self._job.id, step.message[:250], step.fraction, eta)
        if "checkpoint" in step.data:
            record_checkpoint(self._sessions, self._job, step.data["checkpoint"], step.data["metrics"])
        new_stage = step.stage != self._stage
        if new_stage or step.tells or (step.data and time.monotonic() - self._said_at >= EVENT_SECONDS):
            self._jobs.add_event(self._job, step.message, data=dict(step.data))
            self._stage, self._said_at = step.stage, time.monotonic()

    def must_stop(self) -> bool:
        if time.monotonic() - self._asked_at >= CANCEL_CHECK_SECONDS:
            self._asked_at = time.monotonic()
            self._told_to_stop = self._jobs.must_stop(self._job)
        return self._told_to_stop


def main(job_id: str) -> None:
    die_with_parent()
    configure("fine-tune")
    platform, settings = Platform(), WorkerSettings()
    gpus = take_gpus()
    sessions = open_sessions(platform.database_url, settings.silent_seconds)
    with sessions() as session:
        job = session.get_one(Job, job_id)
    run_claimed(sessions, job, platform, settings, _ports(sessions, job, platform, settings), gpus)


def take_gpus() -> tuple[str, ...]:
    """The GPUs for the training's own processes. This process merges and compares on the CPU, and is shown no GPU."""
    gpus = visible_gpus(os.environ, torch.cuda.device_count())
    os.environ[VISIBLE_DEVICES] = ""
    return gpus


def _ports(sessions: Sessions, job: Job, platform: Platform, settings: WorkerSettings) -> Ports:
    retriever = RetrievalWriter(client(platform.retrieval_url, platform.service_token, 60.0))
    generation = client(platform.generation_url, platform.service_token, 60.0)
    slots = GenerationSlots(generation, job.workspace_id, settings.load_timeout)
    training = TrainingSettings()
    judge = HttpJudge.of(training) if training.judge_url else None
    live = LiveRetriever(sessions, retriever, job.workspace_id)
    return Ports(live, VersionList(sessions, job), slots, judge, data_sets_of(sessions, job, platform))


def data_sets_of(sessions: Sessions, job: Job, platform: Platform) -> RunDataSets:
    """The data sets of a job's run, and how earlier runs used theirs."""
    with sessions() as session:
        file = session.get_one(File, job.request["training_file"])
    kept = FrozenSets(sessions, platform.files_url)
    past_runs = PastRuns(sessions, kept, job.workspace_id, job.request.get("from_version"))
    return RunDataSets(kept, job.workspace_id, file, past_runs)


def run_claimed(
    sessions: Sessions,
    job: Job,
    platform: Platform,
    settings: WorkerSettings,
    ports: Ports,
    gpus: Sequence[str] = (),
) -> None:
    """Do a claimed job and record its end. A paused job keeps its work folder and its state.

    The training may use `gpus`. Raises ProcessLost if the job has to be tried again.
    """
    jobs, work = Jobs(sessions), work_folder(platform.runs_folder, job.id)
    sweep_run(sessions, platform, job, ports.slots)
    try:
        _run(sessions, jobs, job, platform, settings, ports, gpus)
    except Cancelled as stopped:
        _stop(jobs, job, work, str(stopped))
    except ProcessLost:  # as if this process were gone: the worker tries again
        raise
    except TrainingError as error:
        _fail(jobs, job, work, str(error))
    except Exception as error:  # the edge of the process
        if not is_disk_full(error):
            raise
        log.exception("the disk is full")
        sweep_run(sessions, platform, job, ports.slots)
        _fail(jobs, job, work, f"The disk is full: nothing of this run was kept. Make room in {platform.home}, and "
              "create the job again.")  # fmt: skip
    else:
        shutil.rmtree(work, ignore_errors=True)


def _run(
    sessions: Sessions,
    jobs: Jobs,
    job: Job,
    platform: Platform,
    settings: WorkerSettings,
    ports: Ports,
    gpus: Sequence[str],
) -> None:
    work = work_folder(platform.runs_folder, job.id)
    settled = settled_version(sessions, job)
    if settled is not None:
        return record_outcome(sessions, jobs, job, settled.id, checkpoints.recorded(work), platform.files_url)
    report = Report(sessions, jobs, job)
    request = _request(sessions, job, platform, settings, work, gpus)
    check_room(request)
    result = run(request, ports, report.progress, report.must_stop)
    return record_outcome(sessions, jobs, job, result.version_id, result.lora.history, platform.files_url)


def _stop(jobs: Jobs, job: Job, work: Path, reason: str) -> None:
    """End a cancelled job. A job that is paused, or that another worker has, is left as it is, with its files."""
    if jobs.cancel_requested(job.id):
        shutil.rmtree(work, ignore_errors=True)
        jobs.add_event(job, reason, level="warn")
        jobs.finish(job.id, "cancelled", reason)


def _fail(jobs: Jobs, job: Job, work: Path, reason: str) -> None:
    shutil.rmtree(work, ignore_errors=True)  # first: a full disk has no room for the reason either
    jobs.add_event(job, reason, level="error")
    jobs.finish(job.id, "failed", reason)


def _request(
    sessions: Sessions, job: Job, platform: Platform, settings: WorkerSettings, work: Path, gpus: Sequence[str]
) -> RunRequest:
    asked, training = job.request, TrainingSettings()
    return RunRequest(
        version_id=f"{version_prefix(job)}{secrets.token_hex(4)}",
        data=_kept(sessions, asked["training_file"], work / "training.jsonl"),
        validation=_kept(sessions, asked.get("validation_file"), work / "validation.jsonl"),
        method=asked.get("method", "supervised"),
        base=_weights(sessions, job, platform),
        base_model=Path(platform.base_model).name,
        work=work,
        versions=version_folder(platform.versions_folder, job.workspace_id),
        general=settings.general_examples.read_bytes(),
        probes=training.probes.read_bytes(),
        settings=run_settings(asked, platform, settings, training, gpus),
    )


def _weights(sessions: Sessions, job: Job, platform: Platform) -> Path:
    """The folder of the weights that a run begins with: the base model's, or a version's."""
    version_id = job.request.get("from_version")
    if version_id is None:
        return materialize(platform.base_model, platform.models_folder)
    with sessions() as session:
        version = session.get_one(Version, version_id)
    if version.status == REMOVED:
        raise TrainingError(f"The weights of '{version.name}' were removed before the run began; name another model.")
    return platform.versions_folder / version.path


def _kept(sessions: Sessions, file_id: str | None, copy: Path) -> bytes:
    """A file's content, copied for later attempts, because the upload may be deleted in the meantime.

    Raises TrainingError if it is already deleted.
    """
    if file_id is None:
        return b""
    if not copy.is_file():
        with sessions() as session:
            path = session.get_one(File, file_id).path
        try:
            keep(copy, read_bytes(path))
        except FileNotFoundError as error:
            raise TrainingError(f"The file '{file_id}' was deleted before the run began; upload it again.") from error
    return copy.read_bytes()


def run_settings(
    asked: dict[str, Any],
    platform: Platform,
    settings: WorkerSettings,
    training: TrainingSettings,
    gpus: Sequence[str] = (),
) -> Settings:
    """The settings of a run: the defaults, then this platform's, then those of the job. Raises OutOfRange."""
    seed = int(asked["seed"])
    chosen = {name: value for name, value in asked["hyperparameters"].items() if value != "auto"}
    by_preferences = asked.get("method") == "dpo"
    if by_preferences and settings.train_processes > 1:
        raise OutOfRange("The method 'dpo' is trained in one process; set train_processes to 1, or use 'supervised'.")
    lora = replace(
        training.dpo_lora() if by_preferences else training.lora(),
        seed=seed,
        threads=max(1, (settings.train_threads or len(os.sched_getaffinity(0))) // settings.train_processes),
        hardware=choose(settings.train_device, settings.train_quantization, settings.train_processes, gpus),
    )
    lora = replace(
        _with_batch(int(chosen["batch_size"]), lora) if "batch_size" in chosen else lora,
        num_train_epochs=float(chosen.get("n_epochs", lora.num_train_epochs)),
        learning_rate=lora.learning_rate * float(chosen.get("learning_rate_multiplier", 1.0)),
    )
    mix, evaluation = training.as_served(platform)
    mix = replace(mix, seed=seed)
    data_set = DataSetSettings().examples()
    parity, gate = training.parity(), training.gate()
    made = Settings(dataset=data_set, lora=lora, mix=mix, parity=parity, evaluation=evaluation, gate=gate)
    return replace(made, beta=float(chosen.get("beta", made.beta)))


def _with_batch(asked: int, lora: LoraSettings) -> LoraSettings:
    """Steps of this many rows. If the operator accumulates to save memory, each pass stays as small as it was set."""
    most = asked if lora.gradient_accumulation_steps == 1 else lora.per_device_train_batch_size
    rows = max(size for size in range(1, most + 1) if asked % size == 0)
    return replace(lora, per_device_train_batch_size=rows, gradient_accumulation_steps=asked // rows)


if __name__ == "__main__":
    main(sys.argv[1])
