"""The worker's side of a training: its process dies, hangs, waits and is cancelled, with a real database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.database.engine import Sessions, migrate, open_sessions
from services.database.tables import Job, JobEvent, Version, Workspace
from services.domain.jobs import Jobs, new_job
from services.kit.settings import Platform
from services.worker import tasks, training_process
from services.worker.fine_tuning.job import FineTuningJob
from services.worker.fine_tuning.leftovers import sweep_work, version_prefix, work_folder
from services.worker.heartbeat import Heartbeat
from services.worker.performing import perform
from services.worker.settings import WorkerSettings
from services.worker.training_process import MOST_TRIES, RunLost, run_training
from tests.support.training.process_double import is_running

DOUBLE = "tests.support.training.process_double"


@dataclass
class Bench:
    """A worker's collaborators over a home of their own."""

    platform: Platform
    sessions: Sessions
    jobs: Jobs
    settings: WorkerSettings

    def queue(self) -> Job:
        job = new_job("w", "fine_tuning", {"training_file": "file-1"}, 600.0)
        with self.sessions.begin() as session:
            session.add(job)
        work_folder(self.platform.runs_folder, job.id).mkdir(parents=True)
        return job

    def work_on(self, job: Job) -> Job:
        """What one delivery of the job's task does."""
        fine_tuning = FineTuningJob(self.jobs, self.sessions, self.platform, self.settings, DOUBLE)
        perform(self.jobs, job.id, fine_tuning.run, passing=(RunLost,))
        return self.jobs.find("w", job.id)

    def work_on_until_it_runs(self, job: Job, then: Callable[[], object]) -> Job:
        """As `work_on`; once the process is at work, something happens."""

        def wait() -> None:
            while not (self.platform.home / "child").exists():
                time.sleep(0.05)
            then()

        other = threading.Thread(target=wait)
        other.start()
        try:
            return self.work_on(job)
        finally:
            other.join(60.0)

    def leave_half_a_version(self, job: Job) -> list[Path]:
        """What a try leaves that is killed while its candidate is written, recorded or loaded."""
        folder = self.platform.versions_folder / "w"
        names = [f".draft-{version_prefix(job)}1", f"{version_prefix(job)}2", f"{version_prefix(job)}3"]
        for name in names:
            (folder / name).mkdir(parents=True)
        self.add_version(job, names[2], "candidate")
        return [folder / name for name in names]

    def add_version(self, job: Job, version_id: str, status: str) -> None:
        empty = {"base_model": "", "path": "", "dataset_hash": "", "template_fingerprint": ""}
        row = Version(id=version_id, workspace_id="w", name=f"ft:{version_id}", job_id=job.id, settings={}, **empty)
        row.status = status
        with self.sessions.begin() as session:
            session.add(row)

    def events(self, job: Job) -> list[str]:
        with self.sessions() as session:
            return [event.message for event in session.query(JobEvent).where(JobEvent.job_id == job.id)]

    def nothing_runs(self) -> bool:
        return not any(is_running(path) for path in map(self.platform.home.joinpath, ("pid", "child")) if path.exists())


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("TANDEM_HOME", str(tmp_path))
    monkeypatch.setenv("TANDEM_SERVICE_TOKEN", "token")
    monkeypatch.setenv("TANDEM_BROKER_URL", "memory://")
    monkeypatch.setattr(training_process, "POLL_SECONDS", 0.2)
    (tmp_path / "tries").mkdir()
    platform = Platform()
    migrate(platform.database_url)
    sessions = open_sessions(platform.database_url)
    with sessions.begin() as session:
        session.add(Workspace(id="w", name="W"))
    return Bench(platform, sessions, Jobs(sessions), WorkerSettings(load_timeout=1.0, stuck_seconds=2.0))


def test_a_run_that_records_its_outcome_is_left_as_it_says(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOUBLE", "succeeds")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    done = bench.work_on(bench.queue())
    assert (done.status, done.reason, done.result) == ("succeeded", "done", {"version": "ft:x", "sees": "0,1"})


def test_the_embedder_is_tuned_where_no_gpu_is_seen(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOUBLE", "succeeds")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr(tasks, "jobs", lambda: bench.jobs)
    modules: list[str] = []

    def run_double(job: Job, heartbeat: Heartbeat, module: str, environment: dict[str, str]) -> dict[str, object]:
        modules.append(module)
        return run_training(job, heartbeat, DOUBLE, environment=environment)

    monkeypatch.setattr(tasks, "run_training", run_double)
    job = bench.queue()
    tasks.train_embedder(job.id)
    done = bench.jobs.find("w", job.id)
    assert (done.status, (done.result or {})["sees"], modules) == ("succeeded", "", ["services.worker.embedders.run"])


def test_a_process_that_dies_each_time_ends_the_job_after_three_tries(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOUBLE", "dies")
    job = bench.queue()
    for number in range(1, MOST_TRIES):
        waiting = bench.work_on(job)
        assert waiting.status == "queued"
        assert f"signal SIGKILL; see the worker's log (try {number} of 3)" in str(waiting.reason)
        assert work_folder(bench.platform.runs_folder, job.id).is_dir()
    failed = bench.work_on(job)
    assert failed.status == "failed"
    assert "That was try 3 of 3" in str(failed.reason)
    assert not work_folder(bench.platform.runs_folder, job.id).exists()
    assert len([event for event in bench.events(job) if event.startswith("Tried again")]) == 2
    assert bench.jobs.claim(job.id) is None


def test_tries_count_anew_once_a_run_has_got_as_far_as_another_checkpoint(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOUBLE", "gets on and dies")
    job = bench.queue()
    for _ in range(MOST_TRIES + 1):
        assert bench.work_on(job).status == "queued"


def test_a_job_whose_worker_is_lost_each_time_ends_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOUBLE", "succeeds")
    job = bench.queue()
    with bench.sessions.begin() as session:
        session.get_one(Job, job.id).tries = MOST_TRIES  # a killed worker cannot record anything
    failed = bench.work_on(job)
    assert failed.status == "failed"
    assert "begun 3 times, and each time its worker was lost" in str(failed.reason)


def test_a_hung_run_is_ended_with_all_its_processes_and_tried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOUBLE", "hangs")
    waiting = bench.work_on(bench.queue())
    assert waiting.status == "queued"
    assert "told no progress for 2 s while 'Tuning: step 1 of 9'" in str(waiting.reason)
    assert bench.nothing_runs()


@pytest.mark.parametrize("behaviour", ["obeys", "does not listen"])
def test_a_paused_run_frees_its_process_keeps_its_work_and_leaves_no_half_version(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, behaviour: str
) -> None:
    monkeypatch.setenv("DOUBLE", behaviour)
    monkeypatch.setattr(training_process, "GRACE_SECONDS", 1.0)
    job = bench.queue()
    left = bench.leave_half_a_version(job)
    paused = bench.work_on_until_it_runs(job, lambda: bench.jobs.request_pause("w", job.id))
    assert (paused.status, paused.pause_requested) == ("paused", False)
    assert bench.nothing_runs()
    assert work_folder(bench.platform.runs_folder, job.id).is_dir()
    assert not any(path.exists() for path in left)
    monkeypatch.setenv("DOUBLE", "succeeds")
    resumed, waits = bench.jobs.resume("w", job.id)
    assert (resumed.status, resumed.tries, waits) == ("queued", 0, True)
    assert bench.work_on(job).status == "succeeded"


@pytest.mark.parametrize("behaviour", ["obeys", "does not listen"])
def test_a_cancelled_run_leaves_no_process_no_work_and_no_half_version(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, behaviour: str
) -> None:
    monkeypatch.setenv("DOUBLE", behaviour)
    monkeypatch.setattr(training_process, "GRACE_SECONDS", 1.0)
    job = bench.queue()
    left = bench.leave_half_a_version(job)
    cancelled = bench.work_on_until_it_runs(job, lambda: bench.jobs.request_cancel("w", job.id))
    assert cancelled.status == "cancelled"
    assert bench.nothing_runs()
    assert not any(path.exists() for path in left)
    assert not work_folder(bench.platform.runs_folder, job.id).exists()
    with bench.sessions() as session:
        assert session.query(Version).all() == []


def test_versions_that_were_judged_and_those_of_other_jobs_stay(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOUBLE", "dies")
    job, other = bench.queue(), bench.queue()
    judged, foreign = f"{version_prefix(job)}9", f"{version_prefix(other)}1"
    bench.add_version(job, judged, "refused")
    bench.add_version(other, foreign, "candidate")
    folders = [bench.platform.versions_folder / "w" / name for name in (judged, foreign)]
    for folder in folders:
        folder.mkdir(parents=True)
    bench.leave_half_a_version(job)
    bench.work_on(job)
    assert sorted(path.name for path in (bench.platform.versions_folder / "w").iterdir()) == sorted([judged, foreign])


def test_work_of_jobs_that_were_cancelled_while_they_waited_is_removed(bench: Bench) -> None:
    gone, waiting = bench.queue(), bench.queue()
    bench.jobs.request_pause("w", gone.id)
    bench.jobs.request_cancel("w", gone.id)
    bench.jobs.request_pause("w", waiting.id)
    sweep_work(bench.jobs, bench.platform.runs_folder)
    assert not work_folder(bench.platform.runs_folder, gone.id).exists()
    assert work_folder(bench.platform.runs_folder, waiting.id).is_dir()
