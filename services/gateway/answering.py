"""How a question becomes an answer. Read this first.

choose weights and mode -> retrieve -> ground -> fit to the context -> stream from the slot -> guard -> cite -> journal
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.concurrency import run_in_threadpool

from retrieval.answerability import answerability
from retrieval.filters import Filter
from retrieval.grounding import REFUSAL, cite, grounded_messages, is_grounded, plain_messages, prompt_version
from retrieval.json_citations import cite_json
from retrieval.model import Citation, Message, Passage
from services.contracts.generation import Route
from services.gateway.fitting import Parts, Size, TooLong, fit, halved, may_exceed
from services.gateway.models import GROUNDED, Choice
from services.gateway.outgoing import EndedBy, Outgoing
from services.gateway.passages import RetrievalClient, Retrieved
from services.gateway.slots import ContextExceeded, Piece, Slots, SlotUnavailable
from services.kit.errors import ApiError

log = logging.getLogger(__name__)
MOST_CUTS = 3
"""Estimates may be off; what still does not fit after so many cuts is refused."""


@dataclass(frozen=True)
class Question:
    """What a client asks: the last user message, what was said before it, and how to answer.

    `keep_history`: a conversation that does not fit the model's context is refused, and keeps its oldest turns.
    `guarded`: the first statement is held back, and refused where no passage supports it. `place` is the field of the
    request that it came in.
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
    """A finished answer and all it takes to explain it. Times are in milliseconds.

    `grounded`: whether a passage supports any of it; None for a refusal and in modes without passages. `ended_by` says
    why the server ended it before the model did, where it did.
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
        written = _Written(question, retrieved, unsourced)
        if _unanswerable(question, retrieved, unsourced):
            clock.mark("first_token_ms")
            written.text, written.ended_by = REFUSAL, "scores"
            yield REFUSAL
        else:
            async with aclosing(self._sent(written)) as texts:
                async for text in texts:
                    if not written.text:
                        clock.mark("first_token_ms")
                    written.text += text
                    yield text
        clock.mark("total_ms")
        yield await run_in_threadpool(_finish, written, clock.timings)

    async def _sent(self, written: _Written) -> AsyncGenerator[str, None]:
        """The text that goes to the client, as it may go; ends the model's where it loops or is not supported."""
        outgoing: Outgoing | None = None
        async with aclosing(self._generate(written)) as pieces:
            async for piece in pieces:
                outgoing = outgoing or written.outgoing()
                written.last = piece
                if piece.text and (text := await outgoing.take(piece.text)):
                    yield text
                if outgoing.ended_by:
                    break
        if outgoing and not outgoing.ended_by and (text := await outgoing.rest(written.last.finish_reason or "stop")):
            yield text
        written.ended_by = outgoing.ended_by if outgoing else None

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

    async def _generate(self, written: _Written) -> AsyncGenerator[Piece, None]:
        """The model's pieces; `written` is told the prompt and the slot they come from. What does not fit the context
        goes; a slot that breaks off before its first piece is tried once more by a fresh routing table."""
        retried, tries = False, 0
        await self._fit_beforehand(written)
        while True:
            begun = False
            try:
                async with aclosing(self._slots.stream(written.route, written.body())) as pieces:
                    async for piece in pieces:
                        begun = True
                        yield piece
                return
            except ContextExceeded as error:
                tries += 1
                if tries > MOST_CUTS:
                    raise _too_long(written, str(error)) from error
                _cut(written, await self._slots.size(written.route, written.message_bodies()), str(error))
            except SlotUnavailable as error:
                if begun or retried:
                    raise _broke_off(error) from error
                written.route, retried = await self._same_weights(written.question), True

    async def _fit_beforehand(self, written: _Written) -> None:
        """Count a prompt that may be too long, and cut it: a model's server cuts the answer short without a word."""
        context = await self._slots.context(written.route)
        rough = context and may_exceed(written.parts(), context)
        if rough and (size := await self._slots.size(written.route, written.message_bodies())):
            _cut(written, size, "")

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


@dataclass
class _Written:
    """An answer in the making: what is asked, the prompt and slot as they turned out, what has come so far."""

    question: Question
    retrieved: Retrieved
    unsourced: bool
    text: str = ""
    last: Piece = field(default_factory=lambda: Piece("", "stop"))
    ended_by: EndedBy | None = None

    def __post_init__(self) -> None:
        self.route, self.history = self.question.choice.route, self.question.history
        self.max_tokens: int = self.question.sampling["max_tokens"]

    def messages(self) -> list[Message]:
        return self._messages(self.retrieved.passages, self.history)

    def _messages(self, passages: Sequence[Passage], history: Sequence[Message]) -> list[Message]:
        question = self.question
        if question.choice.mode in GROUNDED and not self.unsourced:
            messages = grounded_messages(question.text, passages, history, question.schema)
        else:
            messages = plain_messages(question.text, history, question.schema)
        if question.system:
            messages[0] = Message("system", f"{messages[0].content}\n\n{question.system}")
        return messages

    def message_bodies(self) -> list[dict[str, str]]:
        return [vars(message) for message in self.messages()]

    def body(self) -> dict[str, Any]:
        """The request to the slot."""
        sampling = {**self.question.sampling, "max_tokens": self.max_tokens}
        if "min_tokens" in sampling:
            sampling["min_tokens"] = min(sampling["min_tokens"], self.max_tokens)
        return {"messages": self.message_bodies(), **sampling}

    def parts(self) -> Parts:
        fixed = "".join(message.content for message in self._messages((), ()))
        return Parts(fixed, self.history, self.retrieved.passages, self.max_tokens, self.question.keep_history)

    def outgoing(self) -> Outgoing:
        """JSON goes out as it comes: cut or refused, it would be none."""
        question, prose = self.question, self.question.schema is None
        guarded = question.guarded and question.choice.mode in GROUNDED and not self.unsourced
        return Outgoing(self.retrieved.passages, guarded and prose, watched=prose)


def _cut(written: _Written, size: Size | None, reason: str) -> None:
    """Take out of the prompt what does not fit. Where the model's server counts no tokens, half of what may go."""
    parts = written.parts()
    try:
        fitted = fit(parts, size) if size else halved(parts)
    except TooLong as error:
        raise _too_long(written, reason) from error
    written.history, written.max_tokens = fitted.history, fitted.max_tokens
    written.retrieved = replace(written.retrieved, passages=fitted.passages)


def _finish(written: _Written, timings: dict[str, float]) -> Answer:
    question, retrieved, text = written.question, written.retrieved, written.text
    citations = tuple((cite if question.schema is None else cite_json)(text, retrieved.passages))
    return Answer(
        text=text,
        finish_reason="stop" if written.ended_by else written.last.finish_reason or "stop",
        citations=citations,
        passages=retrieved.passages,
        messages=tuple(written.messages()),
        prompt_tokens=written.last.prompt_tokens,
        completion_tokens=written.last.completion_tokens,
        timings=timings,
        versions={
            "weights": written.route.version_id or "base",
            "model": question.choice.name,
            "index": retrieved.collections,
            "prompt": prompt_version(),
        },
        answerability=answerability(retrieved.query, retrieved.passages) if retrieved.passages else None,
        unsourced=written.unsourced,
        searched=_searched(question, retrieved),
        grounded=is_grounded(text, retrieved.passages, citations) if question.choice.mode in GROUNDED else None,
        ended_by=written.ended_by,
        logprobs=written.last.logprobs,
    )


def _searched(question: Question, retrieved: Retrieved) -> str | None:
    return retrieved.query if question.choice.mode in GROUNDED else None


def _too_long(written: _Written, reason: str) -> ApiError:
    what = 'The conversation does not fit the model\'s context; truncation="auto" leaves its oldest turns out'
    if not written.history:
        what = "The question does not fit the model's context, even without history and passages"
    message = f"{what}: {reason}" if reason else f"{what}."
    return ApiError(400, message, code="context_length_exceeded", param=written.question.place)


def _broke_off(error: Exception) -> ApiError:
    log.warning("an answer broke off: %s", error)
    message = "The model's server broke off; ask again in a few seconds."
    return ApiError(503, message, code="model_unavailable", retry_after=2)
