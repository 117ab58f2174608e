"""Bodies of the example routes that clients send."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from services.domain.examples import ExampleKind, ExampleStatus
from services.gateway.http.bodies import Strict
from services.gateway.http.fields import JsonObject

LONGEST_TEXT = 20_000
MOST_MESSAGES = 100
MOST_REVIEWED = 1000

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_TEXT)]
Verdict = Literal["approved", "rejected"]


class PromptMessage(Strict):
    role: Literal["system", "user", "assistant"]
    content: Text


Conversation = Annotated[list[PromptMessage], Field(min_length=1, max_length=MOST_MESSAGES)]


class ExampleCreate(Strict):
    """`rejected` goes with the kind preference, `label` with the kind rating. `metadata.document` is as in training."""

    kind: ExampleKind = "supervised"
    prompt: Conversation
    answer: Text
    rejected: Text | None = None
    label: bool | None = None
    metadata: JsonObject = Field(default_factory=dict, max_length=16)
    status: Literal["proposed", "approved"] = "proposed"
    note: Text | None = None


class ExampleUpdate(Strict):
    """Absent fields stay. A new text without `status` waits for a new review."""

    prompt: Conversation | None = None
    answer: Text | None = None
    rejected: Text | None = None
    label: bool | None = None
    metadata: JsonObject | None = Field(default=None, max_length=16)
    status: ExampleStatus | None = None
    note: Text | None = None


class ExampleReview(Strict):
    ids: list[str] = Field(min_length=1, max_length=MOST_REVIEWED)
    status: Verdict
    note: Text | None = None


class ExampleImport(Strict):
    """The examples of an uploaded file with the purpose fine-tune."""

    file_id: str
    status: Literal["proposed", "approved"] = "proposed"


class ExampleExport(Strict):
    kind: ExampleKind = "supervised"
