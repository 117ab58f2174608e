"""A turn before it is in the journal: a client's question, and its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from retrieval.filters import Filter
from retrieval.model import Citation, Message, Passage
from services.gateway.answering.models import Choice

EndedBy = Literal["repetition", "guard", "scores"]
"""Why the server ended an answer: it loops, no passage supports its first statement, or none is near the question."""


@dataclass(frozen=True)
class Question:
    """What a client asks: the last user message, the conversation before it, and how to answer.

    `keep_history`: a conversation that does not fit the model's context is refused, and keeps its oldest turns.
    `guarded`: the first statement is held back, and refused if no passage supports it. `place` is the field of the
    request that the conversation came in.
    """

    workspace_id: str
    text: str
    history: tuple[Message, ...]
    choice: Choice
    store_ids: tuple[str, ...]
    top_k: int
    sampling: dict[str, Any]
    system: str | None = None
    answer_unsourced: bool = False
    min_answerability: float = 0.0
    guarded: bool = False
    keep_history: bool = False
    filters: Filter | None = None
    score_threshold: float = 0.0
    place: str = "messages"

    @property
    def schema(self) -> dict[str, Any] | None:
        """What the answer, as JSON, has to fit; {} is any object, and None prose."""
        form = self.sampling.get("response_format")
        return form and dict(form.get("json_schema", {}).get("schema", {}))


@dataclass(frozen=True)
class Answer:
    """A finished answer with all that explains it. Times are in milliseconds.

    `grounded`: whether a passage supports any of it; None for a refusal and in modes without passages. `ended_by` says
    why the server ended the answer, if it did so before the model.
    """

    text: str
    finish_reason: str
    citations: tuple[Citation, ...]
    passages: tuple[Passage, ...]
    messages: tuple[Message, ...]
    prompt_tokens: int
    completion_tokens: int
    timings: dict[str, float]
    versions: dict[str, Any]
    answerability: float | None = None
    unsourced: bool = False
    searched: str | None = None
    grounded: bool | None = None
    ended_by: EndedBy | None = None
    logprobs: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Started:
    """The first event of a stream: the passages that the answer will use.

    `searched` is the question as retrieval saw it, None in a mode without retrieval. `unsourced` says that retrieval
    did not answer, and the model answers without passages.
    """

    passages: tuple[Passage, ...]
    searched: str | None = None
    unsourced: bool = False
