"""A fine-tuning's process from its job to its outcome, on a tiny model: killed, paused, without room, and whole."""

from __future__ import annotations

import csv
import math
import os
import signal
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from services.database.engine import Sessions, migrate, open_sessions
from services.database.tables import Checkpoint, File, Job, JobEvent, LivePointer, TextOrigin, Version, Workspace
from services.domain.jobs import Jobs, new_job
from services.kit.settings import Platform
from services.worker import performing
from services.worker.fine_tuning import run as fine_tune
from services.worker.fine_tuning.job import FineTuningJob
from services.worker.fine_tuning.leftovers import work_folder
from services.worker.fine_tuning.outcome import record_outcome
from services.worker.fine_tuning.run import run_settings
from services.worker.settings import TrainingSettings, WorkerSettings
from services.worker.training_process import RunLost
from tests.support.training.fakes import FunctionAnswerer, WordRetriever, jsonl
from tests.support.training.tiny_model import EXAMPLES, PASSAGES, THINGS, answer, make_tiny
from tests.tiny_fine_tune import GPUS, KilledAtPublishing, tiny_ports
from training.data.dataset import canonical
from training.request import Ports

pytestmark = pytest.mark.heavy

LEARNING = {"n_epochs": 12, "batch_size": 2, "learning_rate_multiplier": 6}


@dataclass
class Home:
    """A platform's home with a tiny base model and one uploaded file."""

    platform: Platform
    sessions: Sessions
    jobs: Jobs
    file: Path

    def job(self, **asked: Any) -> Job:
        request = {"model": "tiny", "training_file": "file-1", "suffix": "x", "seed": 3, "hyperparameters": LEARNING}
        job = new_job("w", "fine_tuning", {**request, **asked}, 600.0)
        with self.sessions.begin() as session:
            session.add(job)
        return job

    def claimed(self, **asked: Any) -> Job:
        job = self.jobs.claim(self.job(**asked).id)
        assert job is not None
        return job

    def perform(self, job: Job, ports: Ports | None = None) -> Job:
        chosen = ports or tiny_ports(self.sessions, job)
        fine_tune.run_claimed(self.sessions, job, self.platform, WorkerSettings(), chosen)
        return self.jobs.find("w", job.id)

    def work(self, job: Job) -> Path:
        return work_folder(self.platform.runs_folder, job.id)

    def versions(self) -> list[str]:
        """Names of version folders, drafts among them."""
        folder = self.platform.versions_folder / "w"
        return [path.name for path in folder.iterdir()] if folder.exists() else []

    def rows(self, kind: Any) -> list[Any]:
        with self.sessions() as session:
            return list(session.query(kind).all())

    def metrics(self, job: Job) -> list[dict[str, str]]:
        (file_id,) = job.result["result_files"]
        with self.sessions() as session:
            file = session.get_one(File, file_id)
        assert (file.purpose, file.filename) == ("fine-tune-results", "step_metrics.csv")
        return list(csv.DictReader(Path(file.path.removeprefix("file://")).read_text().splitlines()))


@pytest.fixture
def home(base_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    tiny = make_tiny(base_weights, tmp_path / "tiny")
    settings = {"HOME": tmp_path, "BASE_MODEL": tiny, "SERVICE_TOKEN": "t", "BROKER_URL": "memory://"}
    for name, value in {**settings, "MIN_ANSWERABILITY": 0}.items():  # every question gets to the model
        monkeypatch.setenv(f"TANDEM_{name}", str(value))
    monkeypatch.setattr(fine_tune, "CANCEL_CHECK_SECONDS", 0.0)  # these runs are over within the usual pause
    platform = Platform()
    migrate(platform.database_url)
    sessions = open_sessions(platform.database_url)
    file = tmp_path / "examples.jsonl"
    file.write_bytes(jsonl(EXAMPLES))
    about = {"filename": "e.jsonl", "purpose": "fine-tune", "bytes": 1, "sha256": "", "path": str(file)}
    with sessions.begin() as session:
        session.add(Workspace(id="w", name="W"))
        session.flush()
        session.add(File(id="file-1", workspace_id="w", **about))
    return Home(platform, sessions, Jobs(sessions), file)


def test_a_run_ends_with_a_version_its_metrics_and_its_checkpoints(home: Home) -> None:
    job = home.claimed()
    done = home.perform(job)
    assert done.status == "succeeded", done.reason
    (version,) = home.rows(Version)
    assert (done.result["version_id"], done.result["live"], version.status) == (version.id, False, "refused")
    assert home.versions() == [version.id]
    steps = home.metrics(done)
    assert [int(step["step"]) for step in steps] == list(range(1, len(steps) + 1))
    assert float(steps[-1]["train_loss"]) < float(steps[0]["train_loss"])
    assert float(steps[-1]["full_valid_loss"]) == pytest.approx(done.result["loss_after"], abs=1e-3)
    checkpoints = [row.step for row in home.rows(Checkpoint)]
    assert checkpoints == [*range(25, len(steps), 25), len(steps)]
    assert [int(step["step"]) for step in steps if step["valid_loss"]] == checkpoints
    assert not home.work(job).exists()


def test_preferences_go_on_from_a_version_and_keep_where_its_texts_are_from(home: Home) -> None:
    first = home.perform(home.claimed())
    (begun_with,) = home.rows(Version)
    pairs = [replace(one, rejected=f"Dunno about {one.question.lower()}") for one in EXAMPLES]
    home.file.write_bytes(canonical(pairs))
    learning = {"n_epochs": 2, "batch_size": 2, "learning_rate_multiplier": 20, "beta": 0.1}
    asked = {"method": "dpo", "model": begun_with.name, "from_version": begun_with.id, "hyperparameters": learning}
    done = home.perform(home.claimed(**asked))
    assert done.status == "succeeded", done.reason
    assert done.result["loss_after"] < math.log(2)  # where no answer is preferred
    made = next(version for version in home.rows(Version) if version.id != begun_with.id)
    assert made.lineage["from_version"] == begun_with.id
    assert made.lineage["sides"] == begun_with.lineage["sides"], "a question keeps its side"
    assert done.result["asked"] == made.metrics["asked"]
    assert done.result["asked"]["held_out"] == len(made.lineage["sides"]["held_out"]) > 0
    assert made.lineage["weights"]["sha256"] != begun_with.lineage["weights"]["sha256"]
    with home.sessions() as session:
        held = {one.holder_id: set[str]() for one in session.query(TextOrigin).all()}
        for one in session.query(TextOrigin).all():
            held[one.holder_id].add(one.origin_id)
    assert held[begun_with.id] <= held[made.id]
    assert first.status == "succeeded"


def test_a_run_on_weights_that_were_removed_fails_in_words(home: Home) -> None:
    home.perform(home.claimed())
    with home.sessions.begin() as session:
        (version,) = session.query(Version).all()
        version.status = "removed"
    done = home.perform(home.claimed(model=version.name, from_version=version.id))
    assert (done.status, version.name in (done.reason or "")) == ("failed", True)


@pytest.mark.parametrize(
    ("gpus", "killed"),
    [("", b"tests.tiny_fine_tune"), ("0 1", b"tests.tiny_fine_tune"), ("0 1", b"training.tuning.distributed")],
    ids=["run", "run with a training apart", "training apart"],
)
def test_a_killed_process_goes_on_from_its_checkpoint_on_the_same_rows(
    home: Home, monkeypatch: pytest.MonkeyPatch, gpus: str, killed: bytes
) -> None:
    monkeypatch.setenv(GPUS, gpus)
    monkeypatch.setenv("TANDEM_WORKER_TRAIN_DEVICE", "cpu")
    job = home.job(hyperparameters={**LEARNING, "n_epochs": 50})
    settings = WorkerSettings()
    fine_tuning = FineTuningJob(home.jobs, home.sessions, home.platform, settings, "tests.tiny_fine_tune")

    def kill() -> None:
        deadline = time.monotonic() + 300
        while not home.rows(Checkpoint) and time.monotonic() < deadline:
            time.sleep(0.02)
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            words = path.read_bytes().split(b"\0") if path.exists() else []
            if killed in words and job.id.encode() in b" ".join(words):
                os.kill(int(path.parent.name), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    performing.perform(home.jobs, job.id, fine_tuning.run, passing=(RunLost,))
    killer.join()
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if job.id.encode() in path.read_bytes()]
    lost = home.jobs.find("w", job.id)
    assert (lost.status, lost.tries) == ("queued", 1)
    first = (home.work(job) / "trained.jsonl").read_bytes()
    home.file.unlink()  # a later try needs the upload no more
    seen: list[bytes] = []
    monkeypatch.setattr(fine_tune, "record_outcome", _look_first(home, job, seen, record_outcome))
    again = home.jobs.claim(job.id)
    assert again is not None
    done = home.perform(again, Ports(WordRetriever([]), *_of(tiny_ports(home.sessions, again))))
    assert done.status == "succeeded", done.reason
    assert seen == [first]
    steps = home.metrics(done)
    assert [int(step["step"]) for step in steps] == list(range(1, len(steps) + 1))
    assert any("Going on from the checkpoint of step" in event.message for event in home.rows(JobEvent))
    assert len({row.step for row in home.rows(Checkpoint)}) == len(home.rows(Checkpoint))


def _of(ports: Ports) -> tuple[Any, Any]:
    return ports.versions, ports.slots


def _look_first(home: Home, job: Job, seen: list[bytes], record: Any) -> Any:
    def look(*arguments: Any) -> Any:
        seen.append((home.work(job) / "trained.jsonl").read_bytes())
        return record(*arguments)

    return look


def test_a_run_paused_while_its_candidate_loads_keeps_its_work_and_no_version(home: Home) -> None:
    job = home.claimed()
    paused = home.perform(job, tiny_ports(home.sessions, job, lambda: home.jobs.request_pause("w", job.id)))
    assert (paused.status, paused.pause_requested) == ("running", True)  # the worker puts it aside
    assert home.work(job).is_dir()
    assert home.versions() == []
    assert home.rows(Version) == []
    home.jobs.put_aside(job.id, "paused", "paused")
    home.jobs.resume("w", job.id)
    again = home.jobs.claim(job.id)
    assert again is not None
    done = home.perform(again)
    assert done.status == "succeeded", done.reason
    assert len(home.versions()) == len(home.rows(Version)) == 1


def test_a_run_cancelled_while_its_candidate_loads_leaves_nothing(home: Home) -> None:
    job = home.claimed()
    done = home.perform(job, tiny_ports(home.sessions, job, lambda: home.jobs.request_cancel("w", job.id)))
    assert done.status == "cancelled"
    assert home.versions() == []
    assert home.rows(Version) == []
    assert not home.work(job).exists()


def test_a_process_that_is_lost_after_publishing_made_one_version(home: Home) -> None:
    job = home.claimed()

    def tuned(prompt: str) -> str:
        asked = prompt.rsplit("What", 1)[-1]
        thing = next((one for one in THINGS if one in asked), None)
        return answer(thing).replace(".", " [1].") if thing else "It's hard to say!"  # a general question

    slots = KilledAtPublishing(FunctionAnswerer(tuned), FunctionAnswerer(lambda _: "It's hard to say!"))
    slots.sessions = home.sessions
    with pytest.raises(SystemExit):
        home.perform(job, Ports(WordRetriever(PASSAGES), tiny_ports(home.sessions, job).versions, slots))
    with home.sessions.begin() as session:
        (version,) = session.query(Version).all()
        session.add(LivePointer(workspace_id="w", version_id=version.id))
    done = home.perform(job)
    assert done.status == "succeeded", done.reason
    assert (done.result["version_id"], done.result["live"]) == (version.id, True)
    assert home.versions() == [version.id]
    assert len(home.metrics(done)) > 1


def test_a_full_disk_fails_the_job_in_words_and_leaves_no_half_version(home: Home) -> None:
    job = home.claimed()
    (home.work(job) / "adapter").mkdir(parents=True)
    (home.work(job) / "adapter" / "adapter_config.json").symlink_to("/dev/full")
    done = home.perform(job)
    assert done.status == "failed"
    assert str(done.reason).startswith("The disk is full: nothing of this run was kept. Make room in ")
    assert home.versions() == []
    assert not home.work(job).exists()


def test_an_upload_that_is_gone_before_the_first_try_fails_the_job_in_words(home: Home) -> None:
    home.file.unlink()
    done = home.perform(home.claimed())
    assert (done.status, done.reason) == (
        "failed",
        "The file 'file-1' was deleted before the run began; upload it again.",
    )


def test_what_the_job_asks_for_reaches_the_run(home: Home) -> None:
    asked = {
        "seed": 5,
        "hyperparameters": {"n_epochs": 4, "batch_size": 6, "learning_rate_multiplier": 0.5, "beta": 0.3},
    }
    training = TrainingSettings(min_agreement=0.95)
    served = {"max_answer_tokens": 99, "guard": "first_sentence", "min_answerability": 0.3}
    platform = home.platform.model_copy(update=served)
    made = run_settings(asked, platform, WorkerSettings(train_threads=1, train_device="cpu"), training)
    usual = run_settings(
        {"seed": 5, "hyperparameters": {"n_epochs": "auto"}}, home.platform, WorkerSettings(), TrainingSettings()
    )
    assert (made.lora.num_train_epochs, made.lora.learning_rate) == (4.0, usual.lora.learning_rate * 0.5)
    assert made.lora.hardware.batches(made.lora.per_device_train_batch_size) == (3, 2)
    assert (made.beta, usual.beta, made.lora.seed, made.mix.seed) == (0.3, 0.1, 5, 5)
    assert (made.evaluation.max_tokens, usual.evaluation.max_tokens) == (99, 512)
    assert (made.evaluation.guarded, made.evaluation.min_answerability, made.mix.min_answerability) == (True, 0.3, 0.3)
    assert (made.parity.min_agreement, usual.parity.min_agreement) == (0.95, 0.99)


def test_of_several_gpus_the_training_alone_sees_as_many_as_it_has_processes(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-b,GPU-a")
    gpus = fine_tune.take_gpus()
    assert (gpus, os.environ["CUDA_VISIBLE_DEVICES"]) == (("GPU-b", "GPU-a"), "")
    asked = {"seed": 5, "hyperparameters": {}}
    one = run_settings(asked, home.platform, WorkerSettings(), TrainingSettings(), gpus).lora.hardware
    assert (one.device, one.trains_apart, one.environment()) == ("cuda", True, {"CUDA_VISIBLE_DEVICES": "GPU-b"})
    two = run_settings(asked, home.platform, WorkerSettings(train_processes=2), TrainingSettings(), gpus).lora
    assert two.hardware.environment() == {"CUDA_VISIBLE_DEVICES": "GPU-b,GPU-a"}
    assert two.threads == max(1, len(os.sched_getaffinity(0)) // 2)
    left_alone = run_settings(asked, home.platform, WorkerSettings(train_device="cpu"), TrainingSettings(), gpus).lora
    assert (left_alone.hardware.trains_apart, left_alone.hardware.environment()) == (True, {"CUDA_VISIBLE_DEVICES": ""})
