"""What every body that clients send has in common.

Null means absent, as in OpenAI's schema: OpenAI's SDKs and their users send null for a field that keeps its default.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class NullsAbsent(BaseModel):
    """A body in which null means that the field was not sent, unless null is a value of that field.

    Null is a value where the default is null, and in a required field.
    """

    @model_validator(mode="before")
    @classmethod
    def _leave_out_nulls(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if value is not None or not _has_a_default(cls, name)}


class Body(NullsAbsent):
    """A body in which an unknown field has no effect, as in OpenAI's API."""

    model_config = ConfigDict(extra="ignore")


class Strict(NullsAbsent):
    """A body in which an unknown field is refused, so that a mistyped field is noticed."""

    model_config = ConfigDict(extra="forbid")


def _has_a_default(body: type[BaseModel], name: str) -> bool:
    field = body.model_fields.get(name)
    return field is not None and not field.is_required() and field.default is not None
