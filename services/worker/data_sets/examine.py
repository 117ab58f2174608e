"""Makes the report on one data set in its own process: `python -m services.worker.data_sets.examine JOB`."""

from __future__ import annotations

import sys
from collections.abc import Callable

from sqlalchemy import select

from services.database.engine import Sessions, open_sessions
from services.database.tables import DataSet, File, Job
from services.domain.data_sets import ANY_NUMBER, FrozenSets
from services.domain.files import read_bytes
from services.domain.jobs import Jobs
from services.kit.logging import configure
from services.kit.parent import die_with_parent
from services.kit.settings import DataSetSettings, Platform
from services.worker.settings import TrainingSettings, WorkerSettings
from training.data.dataset import Dataset, parse_dataset
from training.data.dataset_report import CountTokens, examine
from training.data.preparation import count_with
from training.errors import TrainingError
from training.prompts.template import load_tokenizer
from training.weights.base import materialize

OpenCounter = Callable[[], CountTokens]


def main(job_id: str) -> None:
    die_with_parent()
    configure("examine-data-set")
    platform = Platform()
    sessions = open_sessions(platform.database_url, WorkerSettings().silent_seconds)
    run_claimed(job_id, sessions, FrozenSets(sessions, platform.files_url), lambda: _counter(platform))


def run_claimed(job_id: str, sessions: Sessions, frozen: FrozenSets, open_counter: OpenCounter) -> None:
    """Do the claimed job, and record its end."""
    jobs = Jobs(sessions)
    with sessions() as session:
        job = session.get_one(Job, job_id)
        mine = DataSet.id == job.request["data_set_id"], DataSet.workspace_id == job.workspace_id
        row = session.scalars(select(DataSet).where(*mine)).one()
    try:
        settings = DataSetSettings().examples()
        dataset = _as_uploaded(sessions, job, row) or frozen.read(row)
        report = examine(dataset, settings, open_counter(), TrainingSettings().max_length).report
    except TrainingError as error:
        jobs.add_event(job, str(error), level="error")
        jobs.finish(job.id, "failed", str(error))
        return
    frozen.keep_report(row.id, report.figures())
    message = " ".join(report.summary)
    jobs.add_event(job, message)
    jobs.finish(job.id, "succeeded", message, {"data_set_id": row.id})


def _as_uploaded(sessions: Sessions, job: Job, row: DataSet) -> Dataset | None:
    """The data set read from the uploaded file, whose line numbers the user knows; None if the file is deleted."""
    wanted = File.id == job.request["file_id"], File.workspace_id == job.workspace_id
    with sessions() as session:
        file = session.scalar(select(File).where(*wanted, File.deleted_at.is_(None)))
    if file is None:
        return None
    dataset = parse_dataset(read_bytes(file.path), ANY_NUMBER)
    return dataset if dataset.sha256 == row.sha256 else None


def _counter(platform: Platform) -> CountTokens:
    return count_with(load_tokenizer(materialize(platform.base_model, platform.models_folder)))


if __name__ == "__main__":
    main(sys.argv[1])
