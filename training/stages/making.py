"""The middle stages of a run: an adapter is tuned, merged, compared and recorded as a candidate."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.config import PreferenceSettings
from training.data import dividing
from training.errors import DamagedWeights
from training.judging.exam import style_of
from training.judging.style import StyleProfile
from training.request import Ports, RunRequest
from training.stages.course import Course
from training.stages.preparing import Rows, SplitData
from training.tuning import distributed, lora, preferences
from training.tuning.results import LoraResult
from training.weights import merge
from training.weights.candidate import Candidate, close_version
from training.weights.parity_report import ParityReport

NOT_FIGURES = ("adapter", "train_losses", "history")


class Making:
    """Makes a candidate from rows."""

    def __init__(self, request: RunRequest, ports: Ports, course: Course) -> None:
        self._request = request
        self._settings = request.settings
        self._ports = ports
        self._course = course

    def learn_style(self, data: SplitData, made: Rows) -> StyleProfile:
        return style_of(data.trained, made.trained)

    def train(self, made: Rows) -> LoraResult:
        self._course.enter("lora", f"Tuning on {len(made.trained)} rows")
        request, settings = self._request, self._settings.lora
        told = self._course.within_stage, self._course.must_stop
        if request.method == "dpo":
            pairs, held_out = preferences.pairs_of(made.trained), preferences.pairs_of(made.held_out)
            chosen, train = PreferenceSettings(beta=self._settings.beta, lora=settings), preferences.train_preferences
            return distributed.run(train, settings.hardware, request.base, pairs, held_out, chosen, request.work, *told)
        rows, held = made.trained, made.held_out
        train_adapter, hardware = lora.train_adapter, settings.hardware
        return distributed.run(train_adapter, hardware, request.base, rows, held, settings, request.work, *told)

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """A folder beside the versions. It is removed afterwards, unless it has become a version."""
        folder = self._request.versions / f".draft-{self._request.version_id}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def merge_weights(self, adapter: LoraResult, draft: Path) -> None:
        self._course.enter("merge", "Merging the adapter into the base weights")
        merge.merge(self._request.base, adapter.adapter, draft)

    def check_parity(self, adapter: LoraResult, made: Rows, draft: Path) -> ParityReport:
        self._course.enter("parity", "Comparing merged weights with the adapter")
        compared = [*made.trained, *made.held_out]
        report = merge.parity(self._request.base, adapter.adapter, draft, compared, self._settings.parity)
        if not report.passed:
            raise DamagedWeights(report.message)
        return report

    def record_candidate(
        self, draft: Path, data: SplitData, made: Rows, style: StyleProfile, adapter: LoraResult, parity: ParityReport
    ) -> Candidate:
        self._course.enter("candidate", "Recording the candidate")
        request = self._request
        about = self._about(data, made, adapter, parity)
        target = request.versions / request.version_id
        candidate = close_version(draft, target, request.base_model, data.report.sha256, style.to_json(), about)
        try:
            self._ports.versions.candidate(candidate)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
        return candidate

    def _about(self, data: SplitData, made: Rows, adapter: LoraResult, parity: ParityReport) -> dict[str, Any]:
        figures = {name: value for name, value in asdict(adapter).items() if name not in NOT_FIGURES}
        return {
            "settings": asdict(self._settings),
            "dataset": asdict(data.report),
            "sides": asdict(data.sides),
            "general": dividing.general_questions(made.trained),
            "rows": asdict(made.report),
            "passage_files": sorted({file_id for row in made.trained for file_id in row.file_ids}),
            "lora": {**figures, "tokens_per_second": round(adapter.tokens_per_second, 1)},
            "parity": asdict(parity),
        }
