"""Fine-tuning jobs: checks what may be asked for, and shows the jobs that exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select

from services.contracts.jobs import JobKind
from services.database.engine import Sessions
from services.database.tables import Checkpoint, Job, JobEvent
from services.domain.jobs import Jobs
from services.gateway.data_sets.data_sets import DataSets
from services.gateway.fine_tuning.schemas import FineTuningCreate
from services.gateway.http.paging import Cursor, Place, read_page
from services.gateway.jobs.dispatch import Dispatcher
from services.gateway.versions.versions import Versions
from services.kit.errors import ApiError

FINE_TUNING: JobKind = "fine_tuning"
OWN_NAMES = ("tandem/base", "tandem/hybrid", "default")
DEFAULT_SUFFIX, DEFAULT_SEED = "tandem", 17


class FineTuning:
    """`aliases` lets scripts written for other models use their model names."""

    def __init__(
        self,
        sessions: Sessions,
        jobs: Jobs,
        dispatcher: Dispatcher,
        data_sets: DataSets,
        versions: Versions,
        base_model: str,
        aliases: Mapping[str, str],
    ) -> None:
        self._sessions, self._jobs, self._dispatcher, self._data_sets = sessions, jobs, dispatcher, data_sets
        self._versions, self._base_model, self._aliases = versions, base_model, aliases

    def create(self, workspace_id: str, body: FineTuningCreate) -> Job:
        """Queue a run. Raises ApiError 400 for a run that is not possible, 404 for an unknown file or model."""
        method = body.method.type
        model, version_id = self._starting_point(workspace_id, body.model)
        self._data_sets.check_training(workspace_id, body.training_file, body.validation_file, method)
        asked = {
            "model": model,
            "from_version": version_id,
            "training_file": body.training_file,
            "validation_file": body.validation_file,
            "suffix": body.suffix or DEFAULT_SUFFIX,
            "seed": body.seed if body.seed is not None else DEFAULT_SEED,
            "method": method,
            "hyperparameters": body.chosen().model_dump(),
            "metadata": body.metadata,
        }
        return self._dispatcher.start(workspace_id, FINE_TUNING, asked)

    def _starting_point(self, workspace_id: str, named: str) -> tuple[str, str | None]:
        """The model that a run begins with, and the version's id if the model is already tuned. A run on an `ft:` name
        continues from that version, for example preferences after examples.
        """
        model = self._aliases.get(named, named)
        if model in (self._base_model, *OWN_NAMES):
            return self._base_model, None
        tuned = self._versions.names(workspace_id)
        if model in tuned:
            return model, tuned[model]
        message = f"The model '{named}' cannot be tuned here; the base model is '{self._base_model}', and versions "
        message += "that still have weights can be tuned on."
        raise ApiError(404, message, code="model_not_found", param="model")

    def find(self, workspace_id: str, job_id: str) -> Job:
        job = self._jobs.find(workspace_id, job_id)
        if job.kind != FINE_TUNING:
            raise ApiError(404, f"There is no fine-tuning job '{job_id}'.", code="job_not_found", param="id")
        return job

    def list(
        self, workspace_id: str, cursor: Cursor, metadata: Mapping[str, str] | None = None
    ) -> tuple[Sequence[Job], bool]:
        """A page of the jobs that have all of this metadata, and whether there are more."""
        query = select(Job).where(Job.workspace_id == workspace_id, Job.kind == FINE_TUNING)
        for key, value in (metadata or {}).items():
            query = query.where(Job.request[("metadata", key)].as_string() == value)

        def place(job_id: str) -> Place:
            return self.find(workspace_id, job_id).created_at, job_id

        with self._sessions() as session:
            rows, more = read_page(session, query, Job.created_at, Job.id, cursor, place)
        return [job for (job,) in rows], more

    def checkpoints(self, workspace_id: str, job_id: str, cursor: Cursor) -> tuple[Sequence[Checkpoint], bool]:
        """A page of a job's checkpoints, the newest first, and whether there are more."""
        self.find(workspace_id, job_id)
        query = select(Checkpoint).where(Checkpoint.workspace_id == workspace_id, Checkpoint.job_id == job_id)

        with self._sessions() as session:

            def place(checkpoint_id: str) -> Place:
                row = session.scalar(query.where(Checkpoint.id == checkpoint_id))
                if row is None:
                    message = f"The job '{job_id}' has no checkpoint '{checkpoint_id}'."
                    raise ApiError(404, message, code="checkpoint_not_found", param="after")
                return row.created_at, row.id

            rows, more = read_page(session, query, Checkpoint.created_at, Checkpoint.id, cursor, place)
        return [checkpoint for (checkpoint,) in rows], more

    def events(self, workspace_id: str, job_id: str, limit: int, after: int | None) -> tuple[Sequence[JobEvent], bool]:
        """A page of a job's events, the newest first, and whether there are more."""
        self.find(workspace_id, job_id)
        events = self._jobs.events(workspace_id, job_id, limit + 1, after)
        return events[:limit], len(events) > limit
