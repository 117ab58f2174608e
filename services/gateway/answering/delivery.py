"""Delivers one answer to one client: admits, counts and journals it, and frees the model if the client goes away.

The shapes of the API differ only in how they present the result.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import Response
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from services.gateway.answering.answering import Answering
from services.gateway.answering.canaries import Canaries
from services.gateway.answering.metrics import ANSWERS, FIRST_TOKEN, IN_FLIGHT, TOKENS, UNJOURNALED
from services.gateway.answering.turn import Answer, Question, Started
from services.gateway.http.callers import Caller
from services.gateway.http.limits import Limits
from services.kit.errors import ApiError, internal

log = logging.getLogger(__name__)
CLIENT_CLOSED_REQUEST = 499
Sent = list[str | ServerSentEvent]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Deliveries:
    """What every delivery of a gateway needs. At most `most` answers are in progress at once; `waiting` has the ids."""

    answering: Answering
    canaries: Canaries
    limits: Limits
    most: int
    waiting: set[str] = field(default_factory=set)

    def admit(self) -> None:
        """Raises ApiError 429 if this gateway already works on as many answers as it takes."""
        if len(self.waiting) >= self.most:
            message = (
                f"{len(self.waiting)} answers are under way, as many as this gateway takes; try again in 2 seconds."
            )
            raise ApiError(429, message, code="queue_full", retry_after=2)


@dataclass(frozen=True)
class Delivery:
    """An answer in progress. `keep` writes it to the journal before the client sees its end."""

    id: str
    caller: Caller
    question: Question
    deliveries: Deliveries
    keep: Callable[[Answer], None]

    async def answer(self) -> Answer:
        """The finished answer."""
        async with aclosing(self.events()) as events:
            async for event in events:
                if isinstance(event, Answer):
                    return event
        raise ApiError(503, "The answer broke off; ask again.", code="model_unavailable", retry_after=2)

    async def events(self) -> AsyncGenerator[Started | str | Answer, None]:
        """What `Answering.stream` yields. Closing it frees the model."""
        self.deliveries.waiting.add(self.id)
        stream = self.deliveries.answering.stream(self.question)
        outcome = "cancelled"
        try:
            with IN_FLIGHT.track_inprogress():
                async for event in stream:
                    if isinstance(event, Answer):
                        await self._record(event)
                        outcome = "answered"
                    yield event
        except ApiError as error:
            outcome = error.code
            await self._counted(self.deliveries.canaries.failed(self.question.choice, error))
            raise
        except Exception:
            outcome = "failed"
            raise
        finally:
            self.deliveries.waiting.discard(self.id)
            await stream.aclose()
            ANSWERS.labels(self.question.choice.mode, outcome).inc()

    async def _record(self, answer: Answer) -> None:
        mode = self.question.choice.mode
        FIRST_TOKEN.labels(mode).observe(answer.timings.get("first_token_ms", 0) / 1000)
        TOKENS.labels(mode, "prompt").inc(answer.prompt_tokens)
        TOKENS.labels(mode, "completion").inc(answer.completion_tokens)
        await self._journal(answer)
        await self._counted(self.deliveries.canaries.answered(self.question.choice, answer))
        await self._counted(self.deliveries.limits.spend(self.caller, answer.prompt_tokens + answer.completion_tokens))

    async def _counted(self, counting: Coroutine[Any, Any, None]) -> None:
        """Count the result of the answer. If counting fails, the client still gets the same answer."""
        try:
            await counting
        except Exception:  # counts are ours, the answer is the client's
            log.exception("what came of the answer %s is not counted", self.id)

    async def _journal(self, answer: Answer) -> None:
        """Write the answer to the journal. If that fails, the answer is delivered all the same: the client does not
        need the journal.
        """
        try:
            await run_in_threadpool(self.keep, answer)
        except Exception:  # whatever the database says, the answer is finished
            UNJOURNALED.inc()
            log.exception("the answer %s is delivered, but not in the journal", self.id)


async def whole(request: Request, delivery: Delivery) -> Answer | None:
    """The answer, or None where the client went away first."""
    return await _until_disconnect(request, delivery.answer())


async def streamed(
    request: Request, batches: AsyncGenerator[Sent, None], failed: Callable[[ApiError], Sent]
) -> Response:
    """Batches of server-sent events: the first for `Started`, then one for each piece of text and one for the answer.

    An error before the first text becomes an HTTP error; a later one becomes what `failed` makes of it.
    """
    opening = await _until_disconnect(request, _opening(batches))
    if opening is None:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    events = _events(opening, batches, failed)
    return EventSourceResponse(events, ping=15, sep="\n", headers={"X-Accel-Buffering": "no"})


async def _opening(batches: AsyncIterator[Sent]) -> Sent:
    return [*await anext(batches), *await anext(batches)]


async def _events(
    opening: Sent, batches: AsyncIterator[Sent], failed: Callable[[ApiError], Sent]
) -> AsyncIterator[str | ServerSentEvent]:
    for event in opening:
        yield event
    try:
        async for batch in batches:
            for event in batch:
                yield event
    except ApiError as error:
        for event in failed(error):
            yield event
    except Exception:  # the response has begun: no handler of the app can tell the client any more
        log.exception("a stream broke off")
        for event in failed(internal()):
            yield event


async def _until_disconnect(request: Request, work: Coroutine[Any, Any, Result]) -> Result | None:
    """The result of the work. If the client goes away first: None, and the work is cancelled, which frees the model."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        return await task if task.done() else None
    finally:
        task.cancel()
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
