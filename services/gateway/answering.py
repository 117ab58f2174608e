"""How a question becomes an answer. Read this first.

choose weights and mode -> retrieve -> ground -> stream from the slot -> cite -> journal
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from retrieval.answerability import answerability
from retrieval.filters import Filter
from retrieval.grounding import REFUSAL, cite, grounded_messages, plain_messages, prompt_version
from retrieval.json_citations import cite_json
from retrieval.model import Citation, Message, Passage
from services.contracts.generation import Route
from services.gateway.models import GROUNDED, Choice
from services.gateway.passages import RetrievalClient, Retrieved
from services.gateway.slots import ContextExceeded, Piece, Slots, SlotUnavailable
from services.kit.errors import ApiError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Question:
    """What a client asks: the last user message, what was said before it, and how to answer.

    `keep_history`: a conversation that does not fit the model's context is refused, and keeps its oldest turns.
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
    keep_history: bool = False
    filters: Filter | None = None
    score_threshold: float = 0.0

    @property
    def schema(self) -> dict[str, Any] | None:
        """What the answer, as JSON, has to fit; {} is any object, and None prose."""
        form = self.sampling.get("response_format")
        return form and dict(form.get("json_schema", {}).get("schema", {}))


@dataclass(frozen=True)
class Answer:
    """A finished answer and all it takes to explain it. Times are in milliseconds."""

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
    logprobs: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Started:
    """The first event of a stream: the passages that the answer will rest on.

    `searched` is the question as retrieval saw it, None in a mode without retrieval; `unsourced` says that retrieval
    did not answer and the model does without.
    """

    passages: tuple[Passage, ...]
    searched: str | None = None
    unsourced: bool = False


@dataclass
class _Clock:
    started: float = field(default_factory=time.perf_counter)
    timings: dict[str, float] = field(default_factory=dict)

    def mark(self, name: str) -> None:
        self.timings[name] = round((time.perf_counter() - self.started) * 1000, 2)


class Answering:
    """Answers questions. One instance serves all requests; it keeps nothing between them."""

    def __init__(self, retrieval: RetrievalClient, slots: Slots) -> None:
        self._retrieval, self._slots = retrieval, slots

    async def stream(self, question: Question) -> AsyncGenerator[Started | str | Answer, None]:
        """Yield `Started`, then the text as it comes, then the `Answer`. Closing it frees the model.

        Raises ApiError: 400 for a prompt beyond the context, 503 where retrieval or the slot does not answer.
        """
        clock = _Clock()
        retrieved, unsourced = await self._retrieve(question)
        clock.mark("retrieval_ms")
        yield Started(retrieved.passages, _searched(question, retrieved), unsourced)
        text: list[str] = []
        last, route = Piece("", "stop"), question.choice.route
        messages = _messages(question, retrieved.passages, unsourced)
        if _unanswerable(question, retrieved, unsourced):
            text.append(REFUSAL)
            clock.mark("first_token_ms")
            yield REFUSAL
        else:
            async with aclosing(self._generate(question, retrieved.passages, unsourced)) as pieces:
                async for prompt, passages, piece, served in pieces:
                    messages, retrieved, last, route = prompt, replace(retrieved, passages=passages), piece, served
                    if piece.text:
                        if not text:
                            clock.mark("first_token_ms")
                        text.append(piece.text)
                        yield piece.text
        clock.mark("total_ms")
        answered = replace(question, choice=replace(question.choice, route=route))
        yield _finish(answered, retrieved, messages, "".join(text), last, clock.timings, unsourced)

    async def _retrieve(self, question: Question) -> tuple[Retrieved, bool]:
        nothing = Retrieved(question.text, (), {})
        if question.choice.mode not in GROUNDED:
            return nothing, False
        earlier = [message.content for message in question.history if message.role == "user"]
        try:
            found = await self._retrieval.search(
                question.workspace_id,
                question.store_ids,
                question.text,
                earlier,
                question.top_k,
                filters=question.filters,
                score_threshold=question.score_threshold,
            )
        except ApiError as error:
            if error.status == 503 and question.answer_unsourced:
                return nothing, True
            raise
        return found, False

    async def _generate(
        self, question: Question, passages: tuple[Passage, ...], unsourced: bool
    ) -> AsyncGenerator[tuple[list[Message], tuple[Passage, ...], Piece, Route], None]:
        """Pieces with the prompt and the slot they come from. What does not fit goes first the oldest history, then the
        last passage; a slot that breaks off before its first piece is tried once more by a fresh routing table."""
        route, retried, history = question.choice.route, False, question.history
        while True:
            messages = _messages(replace(question, history=history), passages, unsourced)
            body = {"messages": [vars(message) for message in messages], **question.sampling}
            begun = False
            try:
                async with aclosing(self._slots.stream(route, body)) as pieces:
                    async for piece in pieces:
                        begun = True
                        yield messages, passages, piece, route
                return
            except ContextExceeded as error:
                if history and not question.keep_history:
                    history = history[2:]
                elif len(passages) > 1:
                    passages = passages[:-1]
                else:
                    raise _too_long(error, bool(history)) from error
            except SlotUnavailable as error:
                if begun or retried:
                    raise _broke_off(error) from error
                route, retried = await self._same_weights(question), True

    async def _same_weights(self, question: Question) -> Route:
        table = await self._slots.table(fresh=True)
        wanted = question.choice.route.version_id
        routes = [*filter(None, [table.base]), *table.live.values(), *table.versions.values()]
        live = table.live.get(question.workspace_id)
        if wanted and not question.choice.name.startswith("ft:") and live:
            return live
        return next((route for route in routes if route.version_id == wanted), question.choice.route)


def _unanswerable(question: Question, retrieved: Retrieved, unsourced: bool) -> bool:
    """Whether the server itself says that the documents do not answer: the passages are too far from the question."""
    if question.choice.mode not in GROUNDED or unsourced:
        return False
    return not retrieved.passages or answerability(retrieved.query, retrieved.passages) < question.min_answerability


def _messages(question: Question, passages: Sequence[Passage], unsourced: bool) -> list[Message]:
    if question.choice.mode in GROUNDED and not unsourced:
        messages = grounded_messages(question.text, passages, question.history, question.schema)
    else:
        messages = plain_messages(question.text, question.history, question.schema)
    if question.system:
        messages[0] = Message("system", f"{messages[0].content}\n\n{question.system}")
    return messages


def _finish(
    question: Question,
    retrieved: Retrieved,
    messages: Sequence[Message],
    text: str,
    last: Piece,
    timings: dict[str, float],
    unsourced: bool,
) -> Answer:
    return Answer(
        text=text,
        finish_reason=last.finish_reason or "stop",
        citations=tuple((cite if question.schema is None else cite_json)(text, retrieved.passages)),
        passages=retrieved.passages,
        messages=tuple(messages),
        prompt_tokens=last.prompt_tokens,
        completion_tokens=last.completion_tokens,
        timings=timings,
        versions={
            "weights": question.choice.route.version_id or "base",
            "model": question.choice.name,
            "index": retrieved.collections,
            "prompt": prompt_version(),
        },
        answerability=answerability(retrieved.query, retrieved.passages) if retrieved.passages else None,
        unsourced=unsourced,
        searched=_searched(question, retrieved),
        logprobs=last.logprobs,
    )


def _searched(question: Question, retrieved: Retrieved) -> str | None:
    return retrieved.query if question.choice.mode in GROUNDED else None


def _too_long(error: Exception, with_history: bool) -> ApiError:
    what = 'The conversation does not fit the model\'s context; truncation="auto" leaves its oldest turns out'
    if not with_history:
        what = "The question does not fit the model's context, even without history and passages"
    message = f"{what}: {error}"
    return ApiError(400, message, code="context_length_exceeded", param="messages")


def _broke_off(error: Exception) -> ApiError:
    log.warning("an answer broke off: %s", error)
    message = "The model's server broke off; ask again in a few seconds."
    return ApiError(503, message, code="model_unavailable", retry_after=2)
