"""POST /v1/responses, and stored responses."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from services.database.tables import Turn
from services.gateway.answering.asking import Asking
from services.gateway.answering.delivery import CLIENT_CLOSED_REQUEST, Deliveries, Delivery, streamed, whole
from services.gateway.answering.turn import Answer
from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.gateway.http.parts import part
from services.gateway.journal.journal import Journal
from services.gateway.lineage.bodies import lineage_body
from services.gateway.lineage.lineage import Lineages
from services.gateway.responses.body import ResponseShape, search_results
from services.gateway.responses.events import ResponseEvents
from services.gateway.responses.request import RESULTS, ResponseRequest, as_asked, check_search
from services.kit.errors import ApiError

router = APIRouter(tags=["ask"])
ASK = Depends(require("ask", counts="requests"))
READ = Depends(require("ask", counts="reads"))
WRITE = Depends(require("ask", counts="writes"))
ASKING = part(Asking)
DELIVERIES = part(Deliveries)
JOURNAL = part(Journal)
LINEAGES = part(Lineages)


@router.post("/v1/responses")
async def create_response(
    asked: ResponseRequest,
    request: Request,
    caller: Caller = ASK,
    asking: Asking = ASKING,
    deliveries: Deliveries = DELIVERIES,
    journal: Journal = JOURNAL,
) -> Response:
    """Answer the last user message in the mode that the model name selects. The stores are those of the file_search
    tool; without it, the default store.
    """
    earlier: list[Turn] = []
    if asked.previous_response_id:
        earlier = await run_in_threadpool(journal.conversation, caller.workspace_id, asked.previous_response_id)
    question = await asking.question(as_asked(asked, earlier), caller)
    check_search(asked, question.choice)
    deliveries.admit()
    shape = ResponseShape(secrets.token_hex(24), int(time.time()), asked, question)

    def keep(answer: Answer) -> None:
        if asked.store is not False:
            kept = {"body": shape.finished(answer), "input": shape.input_items()}
            journal.record(shape.id, question, answer, kept)

    delivery = Delivery(shape.id, caller, question, deliveries, keep)
    if asked.stream:
        events = ResponseEvents(shape)
        return await streamed(request, events.batches(delivery), events.failed)
    answer = await whole(request, delivery)
    return JSONResponse(shape.finished(answer)) if answer else Response(status_code=CLIENT_CLOSED_REQUEST)


@router.get("/v1/responses/{response_id}")
def retrieve_response(
    response_id: str,
    include: list[str] = Query(default=[], alias="include[]"),
    stream: bool = False,
    caller: Caller = READ,
    journal: Journal = JOURNAL,
) -> dict[str, Any]:
    """A response from the journal, as it was sent; with `include`, also what its search found."""
    if stream:
        message = "A response that is over is not streamed again; retrieve it without `stream`."
        raise ApiError(400, message, code="invalid_value", param="stream")
    turn = journal.response(caller.workspace_id, response_id)
    return _with_results(turn) if RESULTS in include else dict(_kept(turn)["body"])


@router.delete("/v1/responses/{response_id}")
def delete_response(
    response_id: str, caller: Caller = WRITE, journal: Journal = JOURNAL, lineages: Lineages = LINEAGES
) -> dict[str, Any]:
    """Delete a response from the journal with the feedback on it; a conversation that continues no longer sees it.
    `lineage` names the data sets and versions that still contain its text.
    """
    journal.forget(caller, response_id)
    left = lineages.of(caller.workspace_id, response_id)
    return {"id": response_id, "object": "response", "deleted": True, "lineage": lineage_body(left, response_id)}


@router.get("/v1/responses/{response_id}/input_items")
def list_input_items(
    response_id: str,
    after: str | None = None,
    limit: int = Query(default=20, ge=1, le=100),
    order: Literal["asc", "desc"] = "desc",
    caller: Caller = READ,
    journal: Journal = JOURNAL,
) -> dict[str, Any]:
    """The messages of the request for a response, without those of earlier responses."""
    turn = journal.response(caller.workspace_id, response_id)
    items = _kept(turn)["input"]
    return _page(items if order == "asc" else items[::-1], after, limit)


def _kept(turn: Turn) -> dict[str, Any]:
    return turn.response or {}


def _with_results(turn: Turn) -> dict[str, Any]:
    body = _kept(turn)["body"]
    results = search_results(turn.passages)
    output = [{**item, "results": results} if item["type"] == "file_search_call" else item for item in body["output"]]
    return {**body, "output": output}


def _page(items: Sequence[dict[str, Any]], after: str | None, limit: int) -> dict[str, Any]:
    ids = [item["id"] for item in items]
    if after is not None and after not in ids:
        raise ApiError(404, f"There is no input item '{after}'.", code="item_not_found", param="after")
    rest = items[ids.index(after) + 1 :] if after else items
    page = rest[:limit]
    return {
        "object": "list",
        "data": list(page),
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(rest) > limit,
    }
