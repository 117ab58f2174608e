"""The tick of each minute: queues what is due, offers lost jobs again, and clears away what has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from services.database.engine import Sessions
from services.database.tables import Job
from services.domain.jobs import Jobs
from services.worker.alone import alone
from services.worker.files.expiry import Expiry
from services.worker.fine_tuning.leftovers import sweep_work
from services.worker.indexing.indexed import record_failure
from services.worker.indexing.reconciling import Reconciling
from services.worker.performing import fail
from services.worker.reindexing.abandoned import AbandonedBuilds
from services.worker.schedules.retraining import Retraining
from services.worker.schedules.scheduling import due_syncs
from services.worker.versions.clearing import Clearing

OVERDUE = "the job passed its deadline; start it again, or raise the deadline"


@dataclass(frozen=True)
class Ticking:
    """Times come from the caller. `send` hands a job to the workers; `sync_deadline` is in seconds."""

    sessions: Sessions
    jobs: Jobs
    send: Callable[[Job], None]
    runs: Path
    sync_deadline: float
    reconciling: Reconciling
    retraining: Retraining
    builds: AbandonedBuilds
    expiry: Expiry
    clearing: Clearing

    def tick(self, at: datetime) -> None:
        """Each part runs separately: one that fails does not stop the others. Parts that wait for another service come
        last.
        """
        with alone("ending jobs past their deadline"):
            self._end_overdue()
        with alone("queueing repairs"):
            self.reconciling.start_due()
        with alone("queueing syncs"):
            self._send_all(due_syncs(self.sessions, at, self.sync_deadline))
        with alone("queueing retrainings"):
            self._send_all(self.retraining.due(at))
        with alone("offering jobs that no worker has"):
            self._send_all(self.jobs.abandoned())
        with alone("forgetting old answers"):
            self.expiry.forget_answers()
        with alone("clearing the work folders of trainings"):
            sweep_work(self.jobs, self.runs)
        with alone("clearing old versions"):
            self.clearing.clear()
        with alone("dropping builds that are given up"):
            self.builds.sweep()
        with alone("removing expired files"):
            self.expiry.remove_expired()

    def _end_overdue(self) -> None:
        for job in self.jobs.overdue():
            with alone(f"ending the job {job.id}"):
                fail(self.jobs, job, OVERDUE, None, self._note_failure)

    def _note_failure(self, job: Job, reason: str, error: Exception | None) -> None:
        if job.kind == "index_file":
            record_failure(self.sessions, job, reason, error)

    def _send_all(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            with alone(f"sending the job {job.id}"):
                self.send(job)
