"""Which part of an answer is sent while the model writes it: none before the guard has read the first statement, no
loop.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.concurrency import run_in_threadpool

from retrieval.answers.grounding import REFUSAL
from retrieval.answers.guard import carried, first_statement
from retrieval.answers.loops import LoopWatch
from retrieval.model import Passage
from services.gateway.answering.turn import EndedBy


class Outgoing:
    """The text of one answer on its way out. `guarded`: the first statement is held back, and refused if no passage
    supports it. `watched`: the answer is ended when it loops.

    `ended_by` says why the server ended the answer before the model did, once it has.
    """

    def __init__(self, passages: Sequence[Passage], guarded: bool, watched: bool = True) -> None:
        self.ended_by: EndedBy | None = None
        self._passages, self._guarded, self._watched = passages, guarded, watched
        self._held, self._watch = "", LoopWatch()

    async def take(self, text: str) -> str:
        """What may be sent now that the model has also written this; may be empty."""
        return await self._passed(self._watch.feed(text) if self._watched else text, ended=self._watch.looping)

    async def rest(self, finish_reason: str) -> str:
        """What is still to be sent, once the model has ended."""
        return await self._passed(self._watch.rest(cut_short=finish_reason == "length"), ended=True)

    async def _passed(self, text: str, ended: bool) -> str:
        if self._watch.looping:
            self.ended_by = "repetition"
        if not self._guarded:
            return text
        self._held += text
        statement = first_statement(self._held, ended)
        if statement is None:
            return ""
        self._guarded = False
        if await run_in_threadpool(carried, statement, self._passages):
            return self._held
        self.ended_by = "guard"
        return REFUSAL
