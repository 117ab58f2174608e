"""How a question becomes an answer. Read this first.

choose weights and mode -> retrieve -> ground -> fit to the context -> stream from the slot -> guard -> cite -> journal
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool

from retrieval.answers.grounding import REFUSAL
from services.contracts.generation import Route
from services.gateway.answering.draft import Draft, cut, finished, searched, too_long, unanswerable
from services.gateway.answering.fitting import may_exceed
from services.gateway.answering.models import GROUNDED
from services.gateway.answering.outgoing import Outgoing
from services.gateway.answering.turn import Answer, Question, Started
from services.gateway.upstream.retrieval import RetrievalClient, Retrieved
from services.gateway.upstream.slots import ContextExceeded, Piece, Slots, SlotUnavailable
from services.kit.errors import ApiError

log = logging.getLogger(__name__)
MOST_CUTS = 3
"""Estimates may be wrong. A prompt that still does not fit after this many cuts is refused."""


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
        yield Started(retrieved.passages, searched(question, retrieved), unsourced)
        draft = Draft(question, retrieved, unsourced)
        if unanswerable(draft):
            clock.mark("first_token_ms")
            draft.text, draft.ended_by = REFUSAL, "scores"
            yield REFUSAL
        else:
            async with aclosing(self._sent(draft)) as texts:
                async for text in texts:
                    if not draft.text:
                        clock.mark("first_token_ms")
                    draft.text += text
                    yield text
        clock.mark("total_ms")
        yield await run_in_threadpool(finished, draft, clock.timings)

    async def _sent(self, draft: Draft) -> AsyncGenerator[str, None]:
        """The text that goes to the client. It ends the model's answer where that loops or is not supported."""
        outgoing: Outgoing | None = None
        async with aclosing(self._generate(draft)) as pieces:
            async for piece in pieces:
                outgoing = outgoing or draft.outgoing()
                draft.last = piece
                if piece.text and (text := await outgoing.take(piece.text)):
                    yield text
                if outgoing.ended_by:
                    break
        if outgoing and not outgoing.ended_by and (text := await outgoing.rest(draft.last.finish_reason or "stop")):
            yield text
        draft.ended_by = outgoing.ended_by if outgoing else None

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

    async def _generate(self, draft: Draft) -> AsyncGenerator[Piece, None]:
        """Yield the model's pieces, and tell `draft` the prompt and the slot they come from. The prompt is cut where it
        does not fit the context. If a slot breaks off before its first piece, read the routing table again and try once
        more.
        """
        retried, tries = False, 0
        await self._fit_beforehand(draft)
        while True:
            begun = False
            try:
                async with aclosing(self._slots.stream(draft.route, draft.body())) as pieces:
                    async for piece in pieces:
                        begun = True
                        yield piece
                return
            except ContextExceeded as error:
                tries += 1
                if tries > MOST_CUTS:
                    raise too_long(draft, str(error)) from error
                cut(draft, await self._slots.size(draft.route, draft.message_bodies()), str(error))
            except SlotUnavailable as error:
                if begun or retried:
                    raise _broke_off(error) from error
                draft.route, retried = await self._same_weights(draft.question), True

    async def _fit_beforehand(self, draft: Draft) -> None:
        """Count a prompt that may be too long, and cut it. Otherwise the model's server would silently cut the answer
        short.

        What is left is counted again, because the estimate of what was cut is wrong where languages are mixed.
        """
        context = self._slots.context(draft.route)
        if context and not may_exceed(draft.parts(), context):
            return
        for _ in range(MOST_CUTS):
            size = await self._slots.size(draft.route, draft.message_bodies())
            if size is None or not cut(draft, size, ""):
                return

    async def _same_weights(self, question: Question) -> Route:
        table = await self._slots.table(fresh=True)
        wanted = question.choice.route.version_id
        routes = [*filter(None, [table.base]), *table.live.values(), *table.versions.values()]
        live = table.live.get(question.workspace_id)
        if wanted and not question.choice.name.startswith("ft:") and live:
            return live
        return next((route for route in routes if route.version_id == wanted), question.choice.route)


def _broke_off(error: Exception) -> ApiError:
    log.warning("an answer broke off: %s", error)
    message = "The model's server broke off; ask again in a few seconds."
    return ApiError(503, message, code="model_unavailable", retry_after=2)
