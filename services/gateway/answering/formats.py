"""The formats that a client can ask an answer in, as both shapes of the API name them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from services.gateway.http.bodies import Body
from services.gateway.http.fields import JsonObject


class JsonSchema(Body):
    """OpenAI's `strict` has no effect: answers always follow the schema."""

    name: str = Field(min_length=1, max_length=64)
    description: str | None = None
    schema_: JsonObject = Field(alias="schema")
    strict: bool | None = None

    def for_engine(self) -> dict[str, Any]:
        return {"type": "json_schema", "json_schema": {"name": self.name, "schema": self.schema_}}


class TextFormat(Body):
    type: Literal["text"]

    def for_engine(self) -> None:
        return None


class JsonFormat(Body):
    type: Literal["json_object"]

    def for_engine(self) -> dict[str, Any]:
        return {"type": "json_object"}
