"""The data sets of one run, in the platform's database and files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.database.tables import File
from services.domain.data_sets import FrozenSets, set_name
from services.worker.data_sets.sides import PastRuns
from training.data.dataset import Dataset
from training.data.dataset_report import DataSetReport
from training.data.dividing import Past
from training.model import Example


class RunDataSets:
    """Stores what a run trains on, under the training file's name unless the workspace has it under another name."""

    def __init__(self, frozen: FrozenSets, workspace_id: str, file: File, past_runs: PastRuns) -> None:
        self._frozen, self._workspace_id, self._file, self._past_runs = frozen, workspace_id, file, past_runs

    def keep(self, dataset: Dataset, report: DataSetReport) -> str:
        known = self._frozen.find_same(self._workspace_id, dataset.sha256)
        name = known.name if known else set_name(self._file.filename)
        row = self._frozen.freeze(self._workspace_id, dataset, [self._file.id], name)
        self._frozen.keep_report(row.id, report.figures())
        return row.id

    def keep_rows(self, data_set_id: str, figures: Mapping[str, Any]) -> None:
        self._frozen.keep_rows(data_set_id, figures)

    def evaluation_sets(self) -> Mapping[str, Sequence[Example]]:
        return self._frozen.for_evaluation(self._workspace_id)

    def past(self) -> Past:
        return self._past_runs.read()
