"""Removes what an unfinished training leaves behind: work folders, half-written versions, a loaded spare slot."""

from __future__ import annotations

import logging
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from sqlalchemy import select

from services.database.engine import Sessions
from services.database.tables import Job, Version
from services.domain.jobs import Jobs
from services.domain.lineage import forget_origins
from services.kit.settings import Platform
from training.errors import EngineUnavailable

log = logging.getLogger(__name__)


class Spare(Protocol):
    """The part of generation's slots that cleaning up needs."""

    def unload(self, version_id: str) -> None: ...


def version_prefix(job: Job) -> str:
    """What the ids of a job's versions begin with."""
    return f"ver-{job.id.removeprefix('ftjob-')}-"


def work_folder(runs: Path, job_id: str) -> Path:
    """Where a training keeps its checkpoints and training data while its job is unfinished."""
    return runs / job_id


def sweep_run(sessions: Sessions, platform: Platform, job: Job, spare: Spare) -> None:
    """Remove the candidates of an earlier, lost attempt of this job. Versions that were judged stay."""
    mine = Version.job_id == job.id, Version.workspace_id == job.workspace_id
    with sessions() as session:
        versions = session.scalars(select(Version).where(*mine)).all()
    for version in versions:
        if version.status == "candidate":
            with suppress(EngineUnavailable):  # its slots have stopped with it
                spare.unload(version.id)
            with sessions.begin() as session:
                session.delete(session.get_one(Version, version.id))
                forget_origins(session, version.id)
    kept = {version.id for version in versions if version.status != "candidate"}
    folder = platform.versions_folder / job.workspace_id
    for pattern in (f"{version_prefix(job)}*", f".draft-{version_prefix(job)}*"):
        for left in folder.glob(pattern):
            if left.name not in kept:
                shutil.rmtree(left, ignore_errors=True)


def sweep_work(jobs: Jobs, runs: Path) -> None:
    """Remove the work folders of trainings that have ended: cancelled while they waited, or past their deadline."""
    folders = [path for path in runs.glob("*job-*") if path.is_dir()]
    unfinished = jobs.unfinished([path.name for path in folders])
    for path in folders:
        if path.name not in unfinished:
            log.info("removing %s: its job has ended", path)
            shutil.rmtree(path, ignore_errors=True)
