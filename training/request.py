"""The request for a run, its ports, and its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from training import publishing
from training.config import EvaluationSettings, ExampleSettings, GateSettings, LoraSettings, MixSettings, ParitySettings
from training.data.dataset import Dataset
from training.data.dataset_report import DataSetReport
from training.data.dividing import Past
from training.data.sides import SplitReport
from training.judging import evaluation
from training.judging.figures import Metrics
from training.judging.verdict import GateReport
from training.model import Example
from training.progress import MustStop
from training.prompts.rows import RowsReport
from training.retriever import Retriever
from training.tuning.results import LoraResult
from training.weights.parity_report import ParityReport

Method = Literal["supervised", "dpo"]


@dataclass(frozen=True)
class Settings:
    """The settings of every stage. `beta` is DPO's: how strongly the base weights hold the tuned weights."""

    dataset: ExampleSettings = field(default_factory=ExampleSettings)
    mix: MixSettings = field(default_factory=MixSettings)
    lora: LoraSettings = field(default_factory=LoraSettings)
    parity: ParitySettings = field(default_factory=ParitySettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    gate: GateSettings = field(default_factory=GateSettings)
    beta: float = 0.1


@dataclass(frozen=True)
class RunRequest:
    """One run. `data`, `validation` and `general` are training files as uploaded, `probes` JSONL; all but `data` may be
    empty.

    The examples of `validation` are the held-out questions; without it, some of `data` are. `base` is the folder of the
    base weights, `base_model` their name. Checkpoints and the training data go into `work`, which a repeated attempt of
    the same run gets again. The version becomes `versions / version_id`, a name never used before.
    """

    version_id: str
    data: bytes
    base: Path
    base_model: str
    work: Path
    versions: Path
    general: bytes = b""
    validation: bytes = b""
    method: Method = "supervised"
    probes: bytes = b""
    settings: Settings = field(default_factory=Settings)


class Slots(publishing.Publisher, Protocol):
    """The generation service, as a run uses it."""

    def load(self, version_id: str, cancelled: MustStop) -> None:
        """Serve a version from the spare. Returns when it answers; bounded. Raises EngineUnavailable, Cancelled."""
        ...

    def answerer(self, version_id: str) -> evaluation.Answerer:
        """An Answerer for the slot that serves a version."""
        ...

    def baseline(self) -> tuple[evaluation.Answerer, bool]:
        """An Answerer for what is live now, otherwise for the base weights; and whether that is a tuned version."""
        ...


class DataSets(Protocol):
    """The workspace's data sets."""

    def keep(self, dataset: Dataset, report: DataSetReport) -> str:
        """Store a data set unchanged, with its report, and return its id. The same content again gives the id of the
        stored one.
        """
        ...

    def keep_rows(self, data_set_id: str, figures: Mapping[str, Any]) -> None:
        """Add to the report of a data set what a run made of it: its rows, and those that are too long."""
        ...

    def evaluation_sets(self) -> Mapping[str, Sequence[Example]]:
        """What models are judged by and never trained on, by the name of each data set."""
        ...

    def past(self) -> Past:
        """What earlier runs trained on and held out, and what the live version and the version that the run starts from
        learned.
        """
        ...


@dataclass(frozen=True)
class Ports:
    """What a run needs from outside. A judge is optional: its marks are reported and decide nothing. Without
    `data_sets`, nothing of the data set is kept after the run.
    """

    retriever: Retriever
    versions: publishing.Versions
    slots: Slots
    judge: evaluation.Judge | None = None
    data_sets: DataSets | None = None


@dataclass(frozen=True)
class RunResult:
    """The result of a run. A refused candidate is a result as well: `published` is false and `gate` says why."""

    version_id: str
    published: bool
    dataset: SplitReport
    rows: RowsReport
    lora: LoraResult
    parity: ParityReport
    metrics: Metrics
    baseline: Metrics
    gate: GateReport
