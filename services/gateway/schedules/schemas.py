"""Bodies of the calls on schedules of retraining. Unknown fields are refused: a mistyped condition must be noticed."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from services.gateway.fine_tuning.schemas import Hyperparameters
from services.gateway.http.bodies import Strict
from services.gateway.sources.schemas import Name, Schedule

SUFFIX = r"^[A-Za-z0-9_-]+$"


class Conditions(Strict):
    """The conditions for a run at a due time: all that are given must hold, or with `match` "any" one of them.

    `new_examples`: that many were approved since the last run. `style_drop` (in 0..1): the style of live answers is
    that much below the style at the gate. `older_than_days`: the live version is older, or none is live.
    """

    new_examples: int | None = Field(default=None, ge=1, le=1_000_000)
    style_drop: float | None = Field(default=None, gt=0, le=1)
    older_than_days: float | None = Field(default=None, gt=0, le=10_000)
    match: Literal["all", "any"] = "all"


class ScheduleUpdate(Strict):
    """Without `training_file`, each run trains on the examples that are approved at that time."""

    name: Name | None = None
    schedule: Schedule | None = None
    conditions: Conditions | None = None
    training_file: str | None = Field(default=None, max_length=255)
    hyperparameters: Hyperparameters | None = None
    suffix: str | None = Field(default=None, max_length=64, pattern=SUFFIX)
    seed: int | None = Field(default=None, ge=0, lt=2**31)
    enabled: bool | None = None

    def columns(self) -> dict[str, Any]:
        """The columns that the body names. A null training file means the approved examples; any other null changes
        nothing.
        """
        given = self.model_dump(exclude_unset=True)
        found = {name: given[name] for name in ("name", "suffix", "seed", "enabled") if given.get(name) is not None}
        if "training_file" in given:
            found["training_file"] = self.training_file
        if self.schedule:
            found |= self.schedule.model_dump()
        if self.conditions:
            found["conditions"] = self.conditions.model_dump(exclude_none=True)
        if self.hyperparameters:
            found["hyperparameters"] = self.hyperparameters.model_dump()
        return found


class ScheduleCreate(ScheduleUpdate):
    """A new schedule is enabled unless it says otherwise."""

    name: Name
    schedule: Schedule

    def columns(self) -> dict[str, Any]:
        """Every column."""
        defaults = {"suffix": "tandem", "seed": 17, "conditions": Conditions().model_dump(exclude_none=True)}
        return {**defaults, "hyperparameters": Hyperparameters().model_dump(), **super().columns()}
