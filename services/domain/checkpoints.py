"""Records the checkpoints of a fine-tuning as they are written; each is a sign that the job makes progress."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update

from services.database.engine import Sessions
from services.database.patience import outlast, patience
from services.database.tables import Checkpoint, Job


def record_checkpoint(sessions: Sessions, job: Job, step: int, metrics: dict[str, Any]) -> None:
    """Note a checkpoint, once: a try that goes on from an earlier one writes it again.

    The job has got on, so its tries count anew.
    """
    checkpoint_id = f"ftckpt-{job.id.removeprefix('ftjob-')}-{step}"
    named = {"id": checkpoint_id, "workspace_id": job.workspace_id, "job_id": job.id}

    def record() -> None:
        with sessions.begin() as session:
            if session.get(Checkpoint, checkpoint_id) is None:
                session.add(Checkpoint(**named, step=step, metrics=metrics))
                session.execute(update(Job).where(Job.id == job.id).values(tries=1))

    outlast(record, patience(sessions))
