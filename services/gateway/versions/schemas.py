"""Bodies of the calls on versions. Unknown fields are refused, so that a mistyped `override` is noticed."""

from __future__ import annotations

from pydantic import Field, model_validator

from services.gateway.http.bodies import Strict


class Reasoned(Strict):
    """`reason` goes into the history."""

    reason: str = Field(default="", max_length=2000)


class VersionPublish(Reasoned):
    """`override` publishes a version that the gate did not pass; it needs a reason."""

    override: bool = False

    @model_validator(mode="after")
    def _override_has_a_reason(self) -> VersionPublish:
        if self.override and not self.reason.strip():
            raise ValueError("an override needs a `reason`, which goes into the history")
        return self


class CanaryCreate(VersionPublish):
    """`share` of the questions, in 0..1. An absent field has the value of the gateway's settings.

    After `promote_after` requests without too many errors, the version is published; without it, never.
    """

    share: float = Field(gt=0, lt=1)
    margin: float | None = Field(default=None, ge=0, le=1)
    min_requests: int | None = Field(default=None, ge=1, le=1_000_000)
    promote_after: int | None = Field(default=None, ge=1, le=1_000_000)
