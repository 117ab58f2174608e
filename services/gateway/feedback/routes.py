"""Verdicts on answers."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Depends

from services.database.tables import Feedback
from services.gateway.feedback.feedback import Verdicts
from services.gateway.feedback.schemas import FeedbackCreate
from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.gateway.http.paging import Cursor, cursor, page
from services.gateway.http.parts import part

router = APIRouter(tags=["ask"])
READ = Depends(require("ask", "voice", counts="reads"))
WRITE = Depends(require("ask", counts="writes"))
VERDICTS = part(Verdicts)


def feedback_body(row: Feedback) -> dict[str, Any]:
    return {
        "id": row.id,
        "object": "feedback",
        "created_at": int(row.created_at.timestamp()),
        "answer_id": row.turn_id,
        "key_id": row.key_id,
        "rating": row.rating,
        "reason": row.reason,
        "correction": row.correction,
        "correct_file_id": row.correct_file_id,
        "correct_quote": row.correct_quote,
    }


@router.post("/v1/feedback")
def create_feedback(body: FeedbackCreate, caller: Caller = WRITE, verdicts: Verdicts = VERDICTS) -> dict[str, Any]:
    """Store a person's verdict on an answer. It replaces the same key's earlier one."""
    return feedback_body(verdicts.give(caller.workspace_id, caller.key_id, body))


@router.get("/v1/feedback")
def list_feedback(
    answer_id: str | None = None,
    rating: Literal["up", "down"] | None = None,
    reason: str | None = None,
    wanted: Cursor = Depends(cursor),
    caller: Caller = READ,
    verdicts: Verdicts = VERDICTS,
) -> dict[str, Any]:
    """With the scope `voice` all verdicts, otherwise only the key's own."""
    only_by = None if "voice" in caller.scopes else caller.key_id
    rows, more = verdicts.list(caller.workspace_id, answer_id, rating, reason, wanted, only_by)
    return page([feedback_body(row) for row in rows], more)
