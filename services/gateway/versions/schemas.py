"""Bodies of the calls on versions. Unknown fields are refused: a mistyped `override` must not look like one."""

from __future__ import annotations

from pydantic import Field, model_validator

from services.gateway.http.bodies import Strict


class Reasoned(Strict):
    """`reason` goes into the history."""

    reason: str = Field(default="", max_length=2000)


class VersionPublish(Reasoned):
    """`override` lets users have what the gate did not pass; it needs a reason."""

    override: bool = False

    @model_validator(mode="after")
    def _override_has_a_reason(self) -> VersionPublish:
        if self.override and not self.reason.strip():
            raise ValueError("an override needs a `reason`, which goes into the history")
        return self


class CanaryCreate(VersionPublish):
    """`share` of the questions, in 0..1. What is absent is as the gateway's settings have it.

    `promote_after` so many requests without too many errors the version is published; absent, never.
    """

    share: float = Field(gt=0, lt=1)
    margin: float | None = Field(default=None, ge=0, le=1)
    min_requests: int | None = Field(default=None, ge=1, le=1_000_000)
    promote_after: int | None = Field(default=None, ge=1, le=1_000_000)
