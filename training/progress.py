"""How a run reports its progress, and learns that it must stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

StageName = Literal["dataset", "rows", "lora", "merge", "parity", "candidate", "load", "evaluate", "gate", "publish"]
STAGES: tuple[StageName, ...] = (
    "dataset", "rows", "lora", "merge", "parity", "candidate", "load", "evaluate", "gate", "publish",
)  # fmt: skip


@dataclass(frozen=True)
class RunProgress:
    """The progress of a run. `fraction` is of the whole run, in 0..1; `data` has figures such as step, loss, tokens/s,
    eta.

    A step that `tells` is kept as an event, even if it follows soon after another.
    """

    stage: StageName
    fraction: float
    message: str
    data: Mapping[str, Any] = field(default_factory=dict)
    tells: bool = False


Progress = Callable[[RunProgress], None]
MustStop = Callable[[], bool]
"""Whether somebody asked the run to stop; the caller then raises `training.errors.Cancelled`."""
