"""Fine-tuning jobs: what may be asked for, and what there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select

from services.contracts.jobs import JobKind
from services.database.engine import Sessions
from services.database.jobs import Jobs
from services.database.tables import Checkpoint, File, Job, JobEvent
from services.gateway.dispatch import Dispatcher
from services.gateway.files import Files
from services.gateway.fine_tuning_schemas import FineTuningCreate
from services.gateway.paging import Cursor, Place, read_page
from services.kit.errors import ApiError
from training.config import DatasetSettings
from training.dataset import parse_dataset
from training.errors import InvalidDataset
from training.fitness import check_overlap, distinct
from training.model import Dataset

FINE_TUNING: JobKind = "fine_tuning"
OWN_NAMES = ("tandem/base", "tandem/hybrid", "default")
DEFAULT_SUFFIX, DEFAULT_SEED = "tandem", 17
NOT_YET = frozenset({"dpo"})
HOLDS = {"supervised": "conversations", "dpo": "preferences"}


class FineTuning:
    """`aliases` lets scripts written for other models name theirs."""

    def __init__(
        self,
        sessions: Sessions,
        jobs: Jobs,
        dispatcher: Dispatcher,
        files: Files,
        base_model: str,
        aliases: Mapping[str, str],
    ) -> None:
        self._sessions, self._jobs, self._dispatcher, self._files = sessions, jobs, dispatcher, files
        self._base_model, self._aliases = base_model, aliases

    def create(self, workspace_id: str, body: FineTuningCreate) -> Job:
        """Queue a run. Raises ApiError 400 for what cannot be done, 404 for an unknown file or model."""
        method = body.method.type
        if method in NOT_YET:
            message = f"The method '{method}' is not served yet; 'supervised' is."
            raise ApiError(400, message, code="unsupported_method", param="method.type")
        if self._aliases.get(body.model, body.model) not in (self._base_model, *OWN_NAMES):
            message = f"The model '{body.model}' cannot be tuned here; the base model is '{self._base_model}'."
            raise ApiError(404, message, code="model_not_found", param="model")
        training = self._examples(workspace_id, body.training_file, method, "training_file")
        if body.validation_file is not None:
            validation = self._examples(workspace_id, body.validation_file, method, "validation_file")
            _check_overlap(training, validation)
        asked = {
            "model": self._base_model,
            "training_file": body.training_file,
            "validation_file": body.validation_file,
            "suffix": body.suffix or DEFAULT_SUFFIX,
            "seed": body.seed if body.seed is not None else DEFAULT_SEED,
            "method": method,
            "hyperparameters": body.chosen().model_dump(),
            "metadata": body.metadata,
        }
        return self._dispatcher.start(workspace_id, FINE_TUNING, asked)

    def find(self, workspace_id: str, job_id: str) -> Job:
        job = self._jobs.find(workspace_id, job_id)
        if job.kind != FINE_TUNING:
            raise ApiError(404, f"There is no fine-tuning job '{job_id}'.", code="job_not_found", param="id")
        return job

    def list(
        self, workspace_id: str, cursor: Cursor, metadata: Mapping[str, str] | None = None
    ) -> tuple[Sequence[Job], bool]:
        """A page of jobs, those with all of this metadata, and whether there are more."""
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

    def _examples(self, workspace_id: str, file_id: str, method: str, param: str) -> Dataset:
        """What a file holds. Raises ApiError where it is not there, or not of the kind that the method trains on."""
        file = self._found(workspace_id, file_id, param)
        if file.purpose != "fine-tune":
            message = f"'{file.id}' was uploaded for '{file.purpose}'; upload it with purpose 'fine-tune'."
            raise ApiError(400, message, code=f"invalid_{param}", param=param)
        _, content = self._files.content(workspace_id, file_id)
        held = parse_dataset(content, DatasetSettings(min_examples=1))  # it was checked at its upload
        holds = "preferences" if held.has_preferences else "conversations"
        if holds != HOLDS[method]:
            message = f"'{file.id}' holds {holds}; the method '{method}' trains on {HOLDS[method]}."
            raise ApiError(400, message, code=f"invalid_{param}", param=param)
        return held

    def _found(self, workspace_id: str, file_id: str, param: str) -> File:
        try:
            return self._files.find(workspace_id, file_id)
        except ApiError as error:
            raise ApiError(error.status, error.message, code=error.code, param=param) from error


def _check_overlap(training: Dataset, validation: Dataset) -> None:
    """The run itself looks for near-copies too; here only what is word for word the same is found."""
    trained = {distinct(example.question) for example in training.examples}
    shared = sum(distinct(example.question) in trained for example in validation.examples)
    try:
        check_overlap(shared, len(validation.examples), DatasetSettings().max_overlap)
    except InvalidDataset as error:
        raise ApiError(400, str(error), code="invalid_validation_file", param="validation_file") from error
