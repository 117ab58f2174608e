"""POST /v1/chat/completions."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from services.gateway.answering.asking import Asked, Asking
from services.gateway.answering.delivery import CLIENT_CLOSED_REQUEST, Deliveries, Delivery, Sent, streamed, whole
from services.gateway.answering.evidence import (
    citation_bodies,
    explained,
    is_server_refusal,
    passage_bodies,
    token_bodies,
)
from services.gateway.answering.turn import Answer, Question, Started
from services.gateway.chat.conversation import turns
from services.gateway.chat.schemas import ChatRequest
from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.gateway.http.parts import part
from services.gateway.journal.journal import Journal
from services.kit.errors import ApiError, body

router = APIRouter()
ASK = Depends(require("ask", counts="requests"))
ASKING = part(Asking)
DELIVERIES = part(Deliveries)
JOURNAL = part(Journal)
SAMPLING = (
    "temperature",
    "top_p",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "min_tokens",
)


@router.post("/v1/chat/completions", tags=["ask"])
async def create_chat_completion(
    chat: ChatRequest,
    request: Request,
    caller: Caller = ASK,
    asking: Asking = ASKING,
    deliveries: Deliveries = DELIVERIES,
    journal: Journal = JOURNAL,
) -> Response:
    """Answer the last user message in the mode that the model name selects."""
    question = await asking.question(_asked(chat), caller)
    deliveries.admit()
    shape = _Completion(f"chatcmpl-{secrets.token_hex(14)}", int(time.time()), question)

    def keep(answer: Answer) -> None:
        journal.record(shape.id, question, answer)

    delivery = Delivery(shape.id, caller, question, deliveries, keep)
    if chat.stream:
        return await streamed(request, shape.chunks(delivery, chat.stream_options.include_usage), _failed)
    answer = await whole(request, delivery)
    return JSONResponse(shape.completion(answer)) if answer else Response(status_code=CLIENT_CLOSED_REQUEST)


def _asked(chat: ChatRequest) -> Asked:
    return Asked(
        model=chat.model,
        said=turns(chat.messages),
        store_ids=chat.vector_store_ids,
        max_num_results=chat.max_num_results,
        sampling=_sampling(chat),
        max_tokens=chat.max_completion_tokens or chat.max_tokens,
        filters=chat.filters,
        score_threshold=chat.ranking_options.score_threshold if chat.ranking_options else 0.0,
    )


def _sampling(chat: ChatRequest) -> dict[str, Any]:
    given = {name: getattr(chat, name) for name in SAMPLING}
    given["response_format"] = chat.response_format and chat.response_format.for_engine()
    return {name: value for name, value in given.items() if value is not None}


def _failed(error: ApiError) -> Sent:
    return [json.dumps(body(error.status, error.message, error.code, error.param))]


@dataclass(frozen=True)
class _Completion:
    """OpenAI's chat shape of one answer."""

    id: str
    created: int
    question: Question

    def completion(self, answer: Answer) -> dict[str, Any]:
        message = {"role": "assistant", "content": None, "refusal": None, **self._said(answer.text)}
        choice = {"index": 0, "message": {**message, **_citations(answer)}, "finish_reason": answer.finish_reason}
        choices = [{**choice, "logprobs": self._logprobs(answer)}]
        return {**self._head("chat.completion"), "choices": choices, "usage": _usage(answer), **explained(answer)}

    async def chunks(self, delivery: Delivery, include_usage: bool) -> AsyncGenerator[Sent, None]:
        """Chunks of one choice each. The role chunk also has the passages; the finish chunk has citations, timings and
        the tokens' log probabilities. If usage is asked for, it has its own chunk without a choice.
        """
        head: dict[str, Any] = self._head("chat.completion.chunk") | ({"usage": None} if include_usage else {})
        async with aclosing(delivery.events()) as events:
            async for event in events:
                yield [json.dumps({**head, **self._chunk(event)})]
                if isinstance(event, Answer) and include_usage:
                    yield [json.dumps({**head, "choices": [], "usage": _usage(event)})]
        yield ["[DONE]"]

    def _chunk(self, event: Started | str | Answer) -> dict[str, Any]:
        if isinstance(event, Started):
            opening = {"role": "assistant", "content": ""}
            return {"choices": [_choice(opening)], "passages": passage_bodies(event.passages)}
        if isinstance(event, str):
            return {"choices": [_choice(self._said(event))]}
        choice = _choice(_citations(event), event.finish_reason, self._logprobs(event))
        return {"choices": [choice], **explained(event)}

    def _said(self, text: str) -> dict[str, str]:
        return {"refusal": text} if is_server_refusal(self.question, text) else {"content": text}

    def _logprobs(self, answer: Answer) -> dict[str, Any] | None:
        asked = self.question.sampling.get("logprobs")
        return {"content": token_bodies(answer), "refusal": None} if asked else None

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.question.choice.name}


def _choice(delta: dict[str, Any], finish: str | None = None, logprobs: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": logprobs}


def _citations(answer: Answer) -> dict[str, Any]:
    """The same citations twice: complete, and in OpenAI's `url_citation` shape for the supported ones."""
    citations = citation_bodies(answer)
    annotations = [
        {"type": "url_citation", "url_citation": _url_citation(entry)} for entry in citations if entry["supported"]
    ]
    return {"annotations": annotations, "citations": citations}


def _url_citation(entry: dict[str, Any]) -> dict[str, Any]:
    url = entry["url"] or f"/v1/files/{entry['file_id']}/content" + (f"#page={entry['page']}" if entry["page"] else "")
    return {
        "start_index": entry["start_index"],
        "end_index": entry["end_index"],
        "title": entry["title"],
        "url": url,
    }


def _usage(answer: Answer) -> dict[str, int]:
    total = answer.prompt_tokens + answer.completion_tokens
    return {"prompt_tokens": answer.prompt_tokens, "completion_tokens": answer.completion_tokens, "total_tokens": total}
