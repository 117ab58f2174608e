"""A fine-tuning job as the worker sees it: starts its process (`run.py`), watches it, and cleans up after it."""

from __future__ import annotations

import shutil
from typing import Any

from services.database.engine import Sessions
from services.database.tables import Job
from services.domain.jobs import Jobs
from services.kit.http import client
from services.kit.settings import Platform
from services.worker.fine_tuning.leftovers import sweep_run, sweep_work, work_folder
from services.worker.fine_tuning.ports import GenerationSlots
from services.worker.heartbeat import Heartbeat, JobCancelled, JobPaused, JobTaken
from services.worker.settings import WorkerSettings
from services.worker.training_process import RunFailed, RunLost, run_training

UNLOAD_SECONDS = 30.0


class FineTuningJob:
    """`module` is run for each job, with the job's id."""

    def __init__(
        self,
        jobs: Jobs,
        sessions: Sessions,
        platform: Platform,
        settings: WorkerSettings,
        module: str = "services.worker.fine_tuning.run",
    ) -> None:
        self._jobs, self._sessions, self._platform, self._settings = jobs, sessions, platform, settings
        self._module = module

    def run(self, job: Job, heartbeat: Heartbeat) -> dict[str, Any]:
        """Run the job until its process has recorded an outcome. Raises as `run_training`; then no process is left
        running and no half-made version is left. The files that the job can continue from are kept until the job has
        ended.
        """
        sweep_work(self._jobs, self._platform.runs_folder)
        try:
            return run_training(job, heartbeat, self._module, self._settings.stuck_seconds)
        except (JobPaused, RunLost) as stopped:
            self._clear_up(job)
            if isinstance(stopped, RunLost):
                self._jobs.add_event(job, f"Tried again within a minute: {stopped}", level="warn")
            raise
        except (JobCancelled, RunFailed):
            self._clear_up(job)
            shutil.rmtree(work_folder(self._platform.runs_folder, job.id), ignore_errors=True)
            raise
        except JobTaken:
            if not self._jobs.unfinished([job.id]):  # it ended at its deadline, so nobody else is at work on it
                self._clear_up(job)
            raise

    def _clear_up(self, job: Job) -> None:
        platform = self._platform
        with client(platform.generation_url, platform.service_token, UNLOAD_SECONDS) as generation:
            slots = GenerationSlots(generation, job.workspace_id, self._settings.load_timeout)
            sweep_run(self._sessions, platform, job, slots)
