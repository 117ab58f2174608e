"""A voice tuned and measured without a platform: the same rows, prompts, engine and figures that a run has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.serving import served
from harness.tuning import Bench, Task
from training.config import LoraSettings
from training.judging.figures import Metrics, Share
from training.judging.verdict import GateReport
from training.tuning.results import LoraResult

MODES = ("base", "rag", "tuned", "hybrid")
FIGURES = (
    "facts", "fact_recall", "token_f1", "citation_recall", "citation_precision", "model_made", "marked",
    "refused_unanswerable", "refused_removed", "refused_answerable", "decided", "general", "stopped", "repeated",
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """The modes' figures, what the training came to, and the gate's word on the tuned weights."""

    modes: Mapping[str, Metrics]
    lora: LoraResult
    gate: GateReport


def run(task: Task, lora: LoraSettings, folder: Path) -> Outcome:
    """Tune on the task's examples and ask base and tuned weights, with passages and without."""
    bench = Bench.of(task, folder)
    weights, trained = bench.tune("tuned", bench.rows, lora)
    modes = {}
    for without, grounded, model in (("base", "rag", task.base), ("tuned", "hybrid", weights)):
        with served(model, folder) as answerer:
            modes[without] = bench.exam.without_passages().metrics(answerer)
            modes[grounded] = bench.exam.metrics(answerer)
    return Outcome(modes, trained, bench.judged(weights, trained, modes["hybrid"], modes["rag"]))


def print_table(figures: Mapping[str, Metrics], names: Sequence[str] = FIGURES) -> None:
    """One column a model, one row a figure, each with the number of what was counted."""
    print(f"{'':24}" + "".join(f"{name[:22]:>24}" for name in figures))
    for name in names:
        print(f"{name:24}" + "".join(f"{cell(getattr(metrics, name)):>24}" for metrics in figures.values()))
    for trait in next(iter(figures.values())).style:
        cells = (cell(metrics.style.get(trait)) for metrics in figures.values())
        print(f"{'style: ' + trait:24}" + "".join(f"{value:>24}" for value in cells))


def cell(share: Share | None) -> str:
    return "-" if share is None or share.value is None else f"{share.value:.3f} of {share.of}"
