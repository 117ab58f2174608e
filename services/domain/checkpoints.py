"""Records the checkpoints of a fine-tuning as they are written; each is a sign that the job makes progress."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update

from services.database.engine import Sessions
from services.database.patience import outlast, patience
from services.database.tables import Checkpoint, Job


def record_checkpoint(sessions: Sessions, job: Job, step: int, metrics: dict[str, Any]) -> None:
    """Record a checkpoint, once: an attempt that continues from an earlier one writes it again.

    The job has made progress, so its attempts are counted from zero again.
    """
    checkpoint_id = f"ftckpt-{job.id.removeprefix('ftjob-')}-{step}"
    named = {"id": checkpoint_id, "workspace_id": job.workspace_id, "job_id": job.id}

    def record() -> None:
        with sessions.begin() as session:
            if session.get(Checkpoint, checkpoint_id) is None:
                session.add(Checkpoint(**named, step=step, metrics=metrics))
                session.execute(update(Job).where(Job.id == job.id).values(tries=1))

    outlast(record, patience(sessions))
