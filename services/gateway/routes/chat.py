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

from services.gateway.answering import Answer, Question, Started
from services.gateway.asking import Asked, to_question
from services.gateway.delivery import CLIENT_CLOSED_REQUEST, Delivery, Sent, admit, streamed, whole
from services.gateway.evidence import citation_bodies, explained, passage_bodies
from services.gateway.keys import Caller, require
from services.gateway.schemas import ChatRequest
from services.kit.errors import ApiError, body

router = APIRouter()
SAMPLING = ("temperature", "top_p", "stop", "seed", "presence_penalty", "frequency_penalty", "min_tokens")


@router.post("/v1/chat/completions", tags=["ask"])
async def create_chat_completion(
    chat: ChatRequest, request: Request, caller: Caller = Depends(require("ask"))
) -> Response:
    """Answer the last user message in the mode that the model name stands for."""
    state = request.app.state
    question = await to_question(_asked(chat), caller, state)
    admit(state.waiting, state.settings)
    shape = _Completion(f"chatcmpl-{secrets.token_hex(14)}", int(time.time()), question)
    delivery = Delivery(
        shape.id, caller, question, state, lambda answer: state.journal.record(shape.id, question, answer)
    )
    if chat.stream:
        return await streamed(request, shape.chunks(delivery, chat.stream_options.include_usage), _failed)
    answer = await whole(request, delivery)
    return JSONResponse(shape.completion(answer)) if answer else Response(status_code=CLIENT_CLOSED_REQUEST)


def _asked(chat: ChatRequest) -> Asked:
    return Asked(
        model=chat.model,
        said=[(message.role, message.text()) for message in chat.messages],
        store_ids=chat.vector_store_ids,
        max_num_results=chat.max_num_results,
        sampling={name: getattr(chat, name) for name in SAMPLING if getattr(chat, name) is not None},
        max_tokens=chat.max_completion_tokens or chat.max_tokens,
        filters=chat.filters,
        score_threshold=chat.ranking_options.score_threshold if chat.ranking_options else 0.0,
    )


def _failed(error: ApiError) -> Sent:
    return [json.dumps(body(error.status, error.message, error.code, error.param))]


@dataclass(frozen=True)
class _Completion:
    """OpenAI's chat shape of one answer."""

    id: str
    created: int
    question: Question

    def completion(self, answer: Answer) -> dict[str, Any]:
        message = {"role": "assistant", "content": answer.text, "refusal": None, **_citations(answer)}
        choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason, "logprobs": None}
        return {**self._head("chat.completion"), "choices": [choice], "usage": _usage(answer), **explained(answer)}

    async def chunks(self, delivery: Delivery, include_usage: bool) -> AsyncGenerator[Sent, None]:
        """Chunks of one choice each: passages ride on the role chunk, citations and timings on the finish chunk."""
        async with aclosing(delivery.events()) as events:
            async for event in events:
                yield [self._chunk(event, include_usage)]
        yield ["[DONE]"]

    def _chunk(self, event: Started | str | Answer, include_usage: bool) -> str:
        head, finish = self._head("chat.completion.chunk"), None
        extra: dict[str, Any] = {}
        if isinstance(event, Started):
            delta: dict[str, Any] = {"role": "assistant", "content": ""}
            extra = {"passages": passage_bodies(event.passages)}
        elif isinstance(event, str):
            delta = {"content": event}
        else:
            delta, finish, extra = _citations(event), event.finish_reason, explained(event)
            extra |= {"usage": _usage(event)} if include_usage else {}
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return json.dumps({**head, "choices": [choice], **extra})

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.question.choice.name}


def _citations(answer: Answer) -> dict[str, Any]:
    """The same citations twice: whole, and in OpenAI's `url_citation` shape for the supported ones."""
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
