"""POST /v1/chat/completions."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from sse_starlette import EventSourceResponse
from starlette.concurrency import run_in_threadpool

from retrieval.model import Message
from services.gateway.answering import Answer, Answering, Question, Started
from services.gateway.journal import citation_body, passage_summary
from services.gateway.keys import Caller, require
from services.gateway.metrics import ANSWERS, FIRST_TOKEN, IN_FLIGHT, TOKENS
from services.gateway.models import GROUNDED, Choice, UnloadedVersion, choose, still_loading
from services.gateway.schemas import ChatRequest
from services.gateway.settings import GatewaySettings
from services.kit.errors import ApiError, body

router = APIRouter()
SAMPLING = ("temperature", "top_p", "stop", "seed", "presence_penalty", "frequency_penalty", "min_tokens")
CLIENT_CLOSED_REQUEST = 499
Result = TypeVar("Result")


@router.post("/v1/chat/completions", tags=["ask"])
async def create_chat_completion(
    chat: ChatRequest, request: Request, caller: Caller = Depends(require("ask"))
) -> Response:
    """Answer the last user message in the mode that the model name stands for."""
    state = request.app.state
    question = await _question(chat, caller, request)
    _admit(state.waiting, state.settings)
    turn = _Turn(f"chatcmpl-{secrets.token_hex(14)}", int(time.time()), caller, question, state)
    if chat.stream:
        chunks = turn.chunks(chat.stream_options.include_usage)
        opening = await _until_disconnect(request, _opening(chunks))
        if opening is None:
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        return EventSourceResponse(_events(opening, chunks), ping=15, sep="\n", headers={"X-Accel-Buffering": "no"})
    answer = await _until_disconnect(request, turn.answer())
    return JSONResponse(turn.completion(answer)) if answer else Response(status_code=CLIENT_CLOSED_REQUEST)


def _admit(waiting: set[str], settings: GatewaySettings) -> None:
    if len(waiting) >= settings.max_waiting:
        message = f"{len(waiting)} answers are under way, as many as this gateway takes; try again in 2 seconds."
        raise ApiError(429, message, code="queue_full", retry_after=2)


async def _question(chat: ChatRequest, caller: Caller, request: Request) -> Question:
    state, settings = request.app.state, request.app.state.settings
    choice = await resolve(chat.model, caller.workspace_id, bool(chat.vector_store_ids), state)
    store_ids: tuple[str, ...] = ()
    if choice.mode in GROUNDED:
        store_ids = await run_in_threadpool(state.stores.resolve, caller.workspace_id, chat.vector_store_ids)
    system = "\n".join(message.text() for message in chat.messages if message.role in ("system", "developer"))
    history = tuple(
        Message(message.role, message.text()) for message in chat.messages[:-1] if message.role in ("user", "assistant")
    )
    return Question(
        workspace_id=caller.workspace_id,
        text=chat.messages[-1].text(),
        history=history,
        choice=choice,
        store_ids=store_ids,
        top_k=chat.max_num_results or state.top_k,
        sampling=_sampling(chat, settings),
        system=system or None,
        answer_unsourced=settings.answer_unsourced,
        min_answerability=state.min_answerability,
        filters=chat.filters,
        score_threshold=chat.ranking_options.score_threshold if chat.ranking_options else 0.0,
    )


def _sampling(chat: ChatRequest, settings: GatewaySettings) -> dict[str, Any]:
    given = {name: getattr(chat, name) for name in SAMPLING if getattr(chat, name) is not None}
    most = chat.max_completion_tokens or chat.max_tokens or settings.max_tokens
    return {"temperature": settings.temperature, **given, "max_tokens": most}


async def resolve(name: str, workspace_id: str, with_stores: bool, state: Any) -> Choice:
    """The choice behind a model name; a version that no slot serves is asked for and answered with 503."""
    table = await state.slots.table()
    versions = await run_in_threadpool(state.versions.names, workspace_id) if ":" in name else {}
    try:
        return choose(name, table, workspace_id, state.settings.model_aliases, versions, with_stores)
    except UnloadedVersion as unloaded:
        training = await run_in_threadpool(state.jobs.training_now)
        await state.slots.load(workspace_id, unloaded.version_id, replace=not training)
        raise still_loading(name) from unloaded


async def _opening(chunks: AsyncIterator[str]) -> list[str]:
    """The role chunk and the first text: what fails before it is an HTTP error, not an event in a stream."""
    return [await anext(chunks), await anext(chunks)]


async def _events(opening: list[str], chunks: AsyncIterator[str]) -> AsyncIterator[str]:
    for chunk in opening:
        yield chunk
    try:
        async for chunk in chunks:
            yield chunk
    except ApiError as error:
        yield json.dumps(body(error.status, error.message, error.code, error.param))
    else:
        yield "[DONE]"


async def _until_disconnect(request: Request, work: Coroutine[Any, Any, Result]) -> Result | None:
    """The work's result, or None where the client went away first: then the work is cancelled and the model freed."""
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


@dataclass(frozen=True)
class _Turn:
    """One answer on its way to one client."""

    id: str
    created: int
    caller: Caller
    question: Question
    state: Any

    async def answer(self) -> Answer:
        async with aclosing(self._run()) as events:
            async for event in events:
                if isinstance(event, Answer):
                    return event
        raise ApiError(503, "The answer broke off; ask again.", code="model_unavailable", retry_after=2)

    async def _run(self) -> AsyncGenerator[Started | str | Answer, None]:
        answering: Answering = self.state.answering
        mode = self.question.choice.mode
        self.state.waiting.add(self.id)
        stream = answering.stream(self.question)
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
            raise
        finally:
            self.state.waiting.discard(self.id)
            await stream.aclose()
            ANSWERS.labels(mode, outcome).inc()

    async def _record(self, answer: Answer) -> None:
        FIRST_TOKEN.labels(self.question.choice.mode).observe(answer.timings.get("first_token_ms", 0) / 1000)
        TOKENS.labels(self.question.choice.mode, "prompt").inc(answer.prompt_tokens)
        TOKENS.labels(self.question.choice.mode, "completion").inc(answer.completion_tokens)
        await run_in_threadpool(self.state.journal.record, self.id, self.question, answer)
        await self.state.limits.spend(self.caller, answer.prompt_tokens + answer.completion_tokens)

    def completion(self, answer: Answer) -> dict[str, Any]:
        message = {"role": "assistant", "content": answer.text, "refusal": None, **_citations(answer)}
        choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason, "logprobs": None}
        return {**self._head("chat.completion"), "choices": [choice], "usage": _usage(answer), **_explained(answer)}

    async def chunks(self, include_usage: bool) -> AsyncGenerator[str, None]:
        """Chunks of one choice each: passages ride on the role chunk, citations and timings on the finish chunk."""
        async with aclosing(self._run()) as events:
            async for event in events:
                yield self._chunk(event, include_usage)

    def _chunk(self, event: Started | str | Answer, include_usage: bool) -> str:
        head, finish = self._head("chat.completion.chunk"), None
        extra: dict[str, Any] = {}
        if isinstance(event, Started):
            delta: dict[str, Any] = {"role": "assistant", "content": ""}
            extra = {"passages": _passages(event.passages)}
        elif isinstance(event, str):
            delta = {"content": event}
        else:
            delta, finish, extra = _citations(event), event.finish_reason, _explained(event)
            extra |= {"usage": _usage(event)} if include_usage else {}
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return json.dumps({**head, "choices": [choice], **extra}, ensure_ascii=False)

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.question.choice.name}


def _passages(passages: Any) -> list[dict[str, Any]]:
    return [passage_summary(passage, number) for number, passage in enumerate(passages, start=1)]


def _citations(answer: Answer) -> dict[str, Any]:
    """The same citations twice: whole, and in OpenAI's `url_citation` shape for the supported ones."""
    citations = [citation_body(citation, answer.text) for citation in answer.citations]
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


def _explained(answer: Answer) -> dict[str, Any]:
    explained: dict[str, Any] = {"timings": answer.timings, "versions": answer.versions}
    explained["passages"] = _passages(answer.passages)
    if answer.answerability is not None:
        explained["answerability"] = round(answer.answerability, 3)
    return explained | ({"unsourced": True} if answer.unsourced else {})
