"""The evidence of an answer, and its removal from the journal."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Depends

from services.gateway.examples.bodies import use_body
from services.gateway.http.access import lacks, require
from services.gateway.http.callers import Caller
from services.gateway.http.parts import part
from services.gateway.journal.journal import Journal

router = APIRouter(tags=["ask"])
READ = Depends(require("ask", "voice", counts="reads"))
WRITE = Depends(require("ask", "voice", counts="writes"))
JOURNAL = part(Journal)
ANSWER_FIELDS = (
    "id",
    "model",
    "mode",
    "question",
    "answer",
    "messages",
    "passages",
    "citations",
    "timings",
    "versions",
)


@router.get("/v1/answers/{answer_id}")
def retrieve_answer(answer_id: str, caller: Caller = READ, journal: Journal = JOURNAL) -> dict[str, Any]:
    """An answer from the journal, with its prompt, passages, citations, timings and versions."""
    turn = journal.find(caller.workspace_id, answer_id)
    fields = {name: getattr(turn, name) for name in ANSWER_FIELDS}
    return {"object": "answer", "created_at": int(turn.created_at.timestamp()), **fields}


@router.delete("/v1/answers/{answer_id}")
def delete_answer(
    answer_id: str, examples: Literal["keep", "delete"] = "keep", caller: Caller = WRITE, journal: Journal = JOURNAL
) -> dict[str, Any]:
    """Delete an answer and its feedback from the journal, and say what still contains its text."""
    if examples == "delete" and "voice" not in caller.scopes:
        raise lacks(["voice"], "Deleting examples")
    deleted = journal.delete(caller, answer_id, examples == "delete")
    contained = [use_body(use) for use in deleted.uses]
    return {
        "id": answer_id,
        "object": "answer",
        "deleted": True,
        "examples": deleted.example_ids,
        "contained_in": contained,
    }
