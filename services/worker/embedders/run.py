"""Tunes the embedder once, in its own process: `python -m services.worker.embedders.run JOB`.

It writes the progress, events and outcome of its job to the database. The worker that started it watches and cancels
it.
"""

from __future__ import annotations

import os
import random
import secrets
import shutil
import sys
import time
from collections.abc import Callable

from retrieval.documents.chunking import embedding_text
from retrieval.embedding.embedder import SentenceTransformerEmbedder, model_location
from services.database.engine import Sessions, open_sessions
from services.database.patience import outlast, patience
from services.database.tables import Job, TunedEmbedder
from services.domain.jobs import Jobs
from services.kit.logging import configure
from services.kit.parent import die_with_parent
from services.kit.settings import Platform
from services.worker.embedders.data import corrected_citations, praised_answers, store_chunks
from services.worker.fine_tuning.leftovers import work_folder
from services.worker.settings import WorkerSettings
from training.config import EmbedderSettings
from training.embedders.gate import Encode
from training.embedders.pairs import feedback_pairs, generated_pairs
from training.embedders.recipe import EmbedderRequest, EmbedderResult, train_embedder
from training.errors import Cancelled, TrainingError

CANCEL_CHECK_SECONDS = 0.5


def main(job_id: str) -> None:
    die_with_parent()
    configure("train-embedder")
    run_claimed(job_id)


def run_claimed(job_id: str) -> None:
    """Do the claimed job, and record its end."""
    platform, settings = Platform(), WorkerSettings()
    sessions = open_sessions(platform.database_url, settings.silent_seconds)
    jobs = Jobs(sessions)
    with sessions() as session:
        job = session.get_one(Job, job_id)
    work = work_folder(platform.runs_folder, job.id)
    heard = _Report(jobs, job)
    try:
        request = _request(sessions, job, platform, settings)
        jobs.add_event(job, f"{len(request.pairs)} pairs from {len(request.passages)} chunks and the feedback")
        result = train_embedder(request, _loader(request.settings.threads), heard.progress, heard.must_stop)
    except Cancelled as stopped:
        jobs.add_event(job, str(stopped), level="warn")
        jobs.finish(job.id, "cancelled", str(stopped))
    except TrainingError as error:
        jobs.add_event(job, str(error), level="error")
        jobs.finish(job.id, "failed", str(error))
    else:
        _record(sessions, jobs, job, result, platform.embedding_model)
    shutil.rmtree(work, ignore_errors=True)


class _Report:
    """Progress into the job's row, and whether the run must stop."""

    def __init__(self, jobs: Jobs, job: Job) -> None:
        self._jobs, self._job = jobs, job
        self._asked_at, self._stop_asked = 0.0, False

    def progress(self, stage: str, fraction: float) -> None:
        self._jobs.progress(self._job.id, stage[:250], fraction)

    def must_stop(self) -> bool:
        if time.monotonic() - self._asked_at >= CANCEL_CHECK_SECONDS:
            self._asked_at = time.monotonic()
            self._stop_asked = self._jobs.cancel_requested(self._job.id)
        return self._stop_asked


def _request(sessions: Sessions, job: Job, platform: Platform, settings: WorkerSettings) -> EmbedderRequest:
    """The store's chunks and the workspace's feedback, as pairs and passages."""
    threads = settings.train_threads or len(os.sched_getaffinity(0))
    tuning = EmbedderSettings(threads=threads, **job.request["hyperparameters"])
    count_tokens = SentenceTransformerEmbedder(platform.embedding_model, threads=threads).count_tokens
    chunks = store_chunks(sessions, job.request["store_id"], settings, count_tokens)
    rng = random.Random(tuning.seed)
    told = praised_answers(sessions, job.workspace_id) + corrected_citations(sessions, job.workspace_id, chunks)
    praised = feedback_pairs(told, embedding_text)
    passages = {chunk.id: embedding_text(chunk) for chunk in chunks}
    return EmbedderRequest(
        base=model_location(platform.embedding_model),
        pairs=[*praised, *generated_pairs(chunks, embedding_text, rng)],
        passages=list(passages.items()),
        target=platform.embedders_folder / job.workspace_id / f"emb-{secrets.token_hex(8)}",
        work=work_folder(platform.runs_folder, job.id),
        settings=tuning,
    )


def _loader(threads: int) -> Callable[[str], Encode]:
    def load(weights: str) -> Encode:
        """The weights in the form in which they are served."""
        return SentenceTransformerEmbedder(weights, threads=threads).embed

    return load


def _record(sessions: Sessions, jobs: Jobs, job: Job, result: EmbedderResult, base: str) -> None:
    status, report = "passed" if result.report.passed else "refused", result.report.figures()
    row = TunedEmbedder(
        id=result.folder.name,
        workspace_id=job.workspace_id,
        base=base,
        job_id=job.id,
        path=str(result.folder),
        report=report,
        status=status,
    )

    def keep() -> None:
        with sessions.begin() as session:
            session.merge(row)

    outlast(keep, patience(sessions))  # hours of work, which no other try goes on with
    outcome = {
        "embedder": result.folder.name,
        "path": str(result.folder),
        "status": status,
        "trained_pairs": result.trained_pairs,
        "steps": result.tuned.steps,
        "seconds_per_step": round(result.tuned.seconds / max(1, result.tuned.steps), 3),
        "report": report,
    }
    jobs.add_event(job, result.report.summary, level="info" if result.report.passed else "warn", data=outcome)
    jobs.finish(job.id, "succeeded", result.report.summary, outcome)


if __name__ == "__main__":
    main(sys.argv[1])
