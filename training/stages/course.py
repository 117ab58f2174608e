"""The progress of a run: its stage, how far it is, and whether it continues."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from training.errors import Cancelled
from training.progress import STAGES, MustStop, Progress, RunProgress, StageName

SPANS: dict[StageName, tuple[float, float]] = {
    "dataset": (0.0, 0.01), "rows": (0.01, 0.04), "lora": (0.04, 0.66), "merge": (0.66, 0.68), "parity": (0.68, 0.74),
    "candidate": (0.74, 0.75), "load": (0.75, 0.86), "evaluate": (0.86, 0.98), "gate": (0.98, 0.99),
    "publish": (0.99, 1.0),
}  # fmt: skip
"""Each stage's part of the whole run, as timed on the sample data on two cores."""


class Course:
    """Reports each stage to a listener, and stops between two of them."""

    def __init__(self, progress: Progress, must_stop: MustStop) -> None:
        self._progress = progress
        self.must_stop = must_stop

    def enter(self, stage: StageName, message: str) -> None:
        """Begin a stage. Raises Cancelled if somebody asked the run to stop."""
        if self.must_stop():
            raise Cancelled(
                f"The run was cancelled before the stage {stage!r} ({STAGES.index(stage) + 1} of {len(STAGES)})."
            )
        self._progress(RunProgress(stage, SPANS[stage][0], message))

    def tell(self, stage: StageName, message: str, figures: dict[str, Any]) -> None:
        """Report something that is kept as an event of the run."""
        self._progress(RunProgress(stage, SPANS[stage][0], message, figures, tells=True))

    def within_stage(self, step: RunProgress) -> None:
        """Report a step whose `fraction` is of its stage, in 0..1."""
        start, end = SPANS[step.stage]
        self._progress(replace(step, fraction=start + (end - start) * step.fraction))

    def end(self, stage: StageName, message: str, figures: dict[str, Any]) -> None:
        """The end of the last stage."""
        self._progress(RunProgress(stage, 1.0, message, figures))
