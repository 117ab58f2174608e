"""Data sets of a workspace: freezes an uploaded file, has it examined, and refuses data that cannot be trained on."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, update

from services.contracts.jobs import FINISHED, JobKind
from services.database.engine import Sessions
from services.database.tables import DataSet, File, Job
from services.domain.data_sets import ANY_NUMBER, FrozenSets, Use, latest, set_name
from services.gateway.files.files import Files
from services.gateway.jobs.dispatch import Dispatcher
from services.kit.errors import ApiError
from training.config import ExampleSettings
from training.data.contradictions import contradictory, equal_questions
from training.data.dataset import Dataset, parse_dataset
from training.data.fitness import Method, check_contradictions, check_examples, check_overlap, distinct
from training.errors import InvalidDataset

EXAMINE: JobKind = "examine_data_set"
PURPOSE = "fine-tune"


class DataSets:
    def __init__(
        self, sessions: Sessions, files: Files, files_url: str, dispatcher: Dispatcher, settings: ExampleSettings
    ) -> None:
        self._sessions, self._files = sessions, files
        self._frozen = FrozenSets(sessions, files_url)
        self._dispatcher, self._settings = dispatcher, settings

    def create(self, workspace_id: str, file_id: str, name: str | None, use: Use) -> DataSet:
        """Freeze an uploaded file. Start the job that makes the report if there is none yet.

        Raises ApiError 400, 404.
        """
        file, dataset = self._read(workspace_id, file_id, "file_id")
        row = self._frozen.freeze(workspace_id, dataset, [file.id], name or set_name(file.filename), use)
        if row.report or self._under_way(row):
            return row
        job = self._dispatcher.start(workspace_id, EXAMINE, {"data_set_id": row.id, "file_id": file.id})
        with self._sessions.begin() as session:
            session.execute(update(DataSet).where(DataSet.id == row.id).values(job_id=job.id))
        return self.find(workspace_id, row.id)

    def list(self, workspace_id: str) -> Sequence[DataSet]:
        """The newest first."""
        with self._sessions() as session:
            return latest(session, workspace_id)

    def find(self, workspace_id: str, data_set_id: str) -> DataSet:
        mine = DataSet.id == data_set_id, DataSet.workspace_id == workspace_id, DataSet.deleted_at.is_(None)
        with self._sessions() as session:
            row = session.scalar(select(DataSet).where(*mine))
        if row is None:
            raise ApiError(404, f"There is no data set '{data_set_id}'.", code="data_set_not_found", param="id")
        return row

    def delete(self, workspace_id: str, data_set_id: str) -> None:
        self._frozen.delete(self.find(workspace_id, data_set_id))

    def check_training(
        self,
        workspace_id: str,
        training_file: str,
        validation_file: str | None = None,
        method: Method = "supervised",
    ) -> None:
        """Refuse, before a job is queued, what a quick look can find: too few examples, the same answer to everything,
        equal questions with contradictory answers, or a validation file with too many of the training file's questions.

        Raises ApiError 400, 404. The run itself finds near-copies.
        """
        _, dataset = self._read(workspace_id, training_file, "training_file")
        try:
            check_examples(dataset, self._settings, method)
            found = contradictory(dataset.examples, equal_questions)
            check_contradictions(dataset.examples, found.places, found.pairs, self._settings.max_contradictory)
        except InvalidDataset as error:
            raise _refused(str(error), "training_file") from error
        if validation_file:
            self._check_validation(workspace_id, dataset, validation_file)

    def _under_way(self, row: DataSet) -> bool:
        with self._sessions() as session:
            job = session.get(Job, row.job_id) if row.job_id else None
        return job is not None and job.status not in FINISHED

    def _check_validation(self, workspace_id: str, dataset: Dataset, validation_file: str) -> None:
        _, validation = self._read(workspace_id, validation_file, "validation_file")
        if validation.has_preferences != dataset.has_preferences:
            raise _refused("The validation file has to hold what the training file holds.", "validation_file")
        asked = {distinct(example.asked) for example in dataset.examples}
        shared = sum(distinct(example.asked) in asked for example in validation.examples)
        try:
            check_overlap(shared, len(validation.examples), self._settings.max_overlap)
        except InvalidDataset as error:
            raise _refused(str(error), "validation_file") from error

    def _read(self, workspace_id: str, file_id: str, param: str) -> tuple[File, Dataset]:
        try:
            file, content = self._files.content(workspace_id, file_id)
        except ApiError as error:
            raise ApiError(error.status, error.message, code=error.code, param=param) from error
        if file.purpose != PURPOSE:
            message = f"'{file.id}' was uploaded for '{file.purpose}'; upload it with purpose '{PURPOSE}'."
            raise _refused(message, param)
        try:
            return file, parse_dataset(content, ANY_NUMBER)
        except InvalidDataset as error:
            raise _refused(str(error), param) from error


def _refused(message: str, param: str) -> ApiError:
    code = "invalid_validation_file" if param == "validation_file" else "invalid_training_file"
    return ApiError(400, message, code=code, param=param)
