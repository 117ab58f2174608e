"""The real fine-tuning process, with slots and retriever in memory: `python -m tests.tiny_fine_tune JOB`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from services.database.engine import Sessions, open_sessions
from services.database.tables import Job, Version
from services.kit.parent import die_with_parent
from services.kit.settings import Platform
from services.worker.fine_tuning.ports import VersionList
from services.worker.fine_tuning.run import data_sets_of, run_claimed
from services.worker.settings import WorkerSettings
from tests.support.training.fakes import FunctionAnswerer, MemorySlots, WordRetriever
from tests.support.training.tiny_model import PASSAGES
from training.request import Ports

GPUS = "TINY_GPUS"
"""Names of GPUs that this machine is taken to have."""


def tiny_ports(sessions: Sessions, job: Job, on_load: Callable[[], object] = lambda: None) -> Ports:
    """Slots whose models say the same, so that the gate refuses the candidate."""
    slots = MemorySlots(FunctionAnswerer(lambda _: "Dunno."), FunctionAnswerer(lambda _: "Dunno."), on_load=on_load)
    data_sets = data_sets_of(sessions, job, Platform())
    return Ports(WordRetriever(PASSAGES), VersionList(sessions, job), slots, data_sets=data_sets)


class KilledAtPublishing(MemorySlots):
    """Generation publishes, and then the process that asked for it is gone."""

    sessions: Sessions

    def publish(self, version_id: str) -> None:
        super().publish(version_id)
        with self.sessions.begin() as session:
            session.get_one(Version, version_id).status = "published"
        raise SystemExit("killed")


def main(job_id: str) -> None:
    die_with_parent()
    platform = Platform()
    sessions = open_sessions(platform.database_url, WorkerSettings().silent_seconds)
    with sessions() as session:
        job = session.get_one(Job, job_id)
    gpus = tuple(os.environ.get(GPUS, "").split())
    run_claimed(sessions, job, platform, WorkerSettings(), tiny_ports(sessions, job), gpus)


if __name__ == "__main__":
    main(sys.argv[1])
