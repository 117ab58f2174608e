"""Counts the results of a canary and of the live version, and ends a canary that does worse.

The counts are in the canary's row, so every replica of the gateway adds to the same ones. The generation service starts
and ends canaries; only it writes their history.
"""

from __future__ import annotations

import logging
from typing import Literal

from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from services.database.engine import Sessions
from services.database.tables import Canary
from services.gateway.answering.models import Choice, Trial
from services.gateway.answering.turn import Answer
from services.gateway.upstream.slots import Slots
from services.kit.errors import ApiError

log = logging.getLogger(__name__)
FAULTS = frozenset({"model_failed", "model_unavailable", "model_timeout"})
"""Codes of errors that come from the weights or their slot."""
Verdict = Literal["go on", "end", "publish"]


class Canaries:
    """One for each gateway. An error in here never makes an answer fail."""

    def __init__(self, sessions: Sessions, slots: Slots) -> None:
        self._sessions, self._slots = sessions, slots

    async def answered(self, choice: Choice, answer: Answer) -> None:
        """Count an answer on its side. An empty answer, or one that the live version had to give instead, counts as an
        error.

        An answer that the server gave without asking a model counts on neither side.
        """
        if choice.trial and answer.prompt_tokens:
            by_another = answer.versions["weights"] != choice.route.version_id
            await self._count(choice.trial, by_another or not answer.text.strip())

    async def failed(self, choice: Choice, error: ApiError) -> None:
        """Count a failed answer on its side, if the model made it fail."""
        if choice.trial and error.code in FAULTS:
            await self._count(choice.trial, True)

    async def _count(self, trial: Trial, is_error: bool) -> None:
        try:
            row = await run_in_threadpool(self._add, trial, is_error)
            if row is not None:
                await self._act(row)
        except (SQLAlchemyError, ApiError) as error:
            log.warning("an answer of the canary %s was not counted, or not acted on: %s", trial.canary_id, error)

    def _add(self, trial: Trial, is_error: bool) -> Canary | None:
        """The row with this answer counted; None if the canary has ended."""
        column = getattr(Canary, ("" if trial.new else "live_") + ("errors" if is_error else "answers"))
        running = Canary.id == trial.canary_id, Canary.ended_at.is_(None)
        with self._sessions.begin() as session:
            if session.execute(update(Canary).where(*running).values({column: column + 1})).rowcount == 0:  # type: ignore[attr-defined]
                return None
            return session.get_one(Canary, trial.canary_id)

    async def _act(self, row: Canary) -> None:
        found, reason = verdict(row), in_words(row)
        order = {"workspace_id": row.workspace_id, "why": "canary", "reason": reason}
        if found == "end":
            await self._slots.order("/canary/end", {**order, "canary_id": row.id})
        elif found == "publish":
            await self._slots.order("/publish", {**order, "version_id": row.version_id})


def verdict(row: Canary) -> Verdict:
    """Whether a canary continues, by the counts and bounds in its row."""
    requests = row.answers + row.errors
    if (
        requests >= row.min_requests
        and _rate(row.errors, row.answers) > _rate(row.live_errors, row.live_answers) + row.margin
    ):
        return "end"
    return "publish" if row.promote_after and requests >= row.promote_after else "go on"


def in_words(row: Canary) -> str:
    """The figures behind a verdict."""
    ours, theirs = _rate(row.errors, row.answers), _rate(row.live_errors, row.live_answers)
    return (
        f"{ours:.1%} of its {row.answers + row.errors} requests failed, {theirs:.1%} of the live version's "
        f"{row.live_answers + row.live_errors}; at most {row.margin:.1%} more are allowed."
    )


def _rate(errors: int, answers: int) -> float:
    return errors / (errors + answers) if errors + answers else 0.0
