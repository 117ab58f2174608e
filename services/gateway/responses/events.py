"""An answer as the typed events of a streamed response, in the order that OpenAI's accumulator expects."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from itertools import count
from typing import Any

from sse_starlette import ServerSentEvent

from services.gateway.answering.delivery import Delivery, Sent
from services.gateway.answering.evidence import is_server_refusal
from services.gateway.answering.turn import Answer, Started
from services.gateway.responses.body import ResponseShape, refusal
from services.kit.errors import ApiError

EMPTY_TEXT = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
Event = tuple[str, dict[str, Any]]


class ResponseEvents:
    """Makes the events of one response, and numbers them."""

    def __init__(self, shape: ResponseShape) -> None:
        self._shape = shape
        self._numbers = count()
        self._message_index, self._begun = 0, False

    async def batches(self, delivery: Delivery) -> AsyncGenerator[Sent, None]:
        async with aclosing(delivery.events()) as events:
            async for event in events:
                yield [self._numbered(*one) for one in self._of(event)]

    def failed(self, error: ApiError) -> Sent:
        return [self._numbered("response.failed", {"response": self._shape.failed(error)})]

    def _of(self, event: Started | str | Answer) -> Iterator[Event]:
        if isinstance(event, Started):
            yield from self._opening(event)
        elif isinstance(event, str):
            yield from self._text(event)
        else:
            yield from self._closing(event)

    def _opening(self, started: Started) -> Iterator[Event]:
        opened = self._shape.opened()
        yield "response.created", {"response": opened}
        yield "response.in_progress", {"response": opened}
        for item in self._shape.searches(started):
            yield from _search(item)
            self._message_index = 1
        item = {"output_index": self._message_index, "item": self._shape.empty_message()}
        yield "response.output_item.added", item

    def _text(self, text: str) -> Iterator[Event]:
        if is_server_refusal(self._shape.question, text):
            yield from self._begin(refusal(""))
            yield "response.refusal.delta", {**self._place(), "delta": text}
        else:
            yield from self._begin(EMPTY_TEXT)
            yield "response.output_text.delta", {**self._place(), "delta": text, "logprobs": []}

    def _begin(self, part: dict[str, Any]) -> Iterator[Event]:
        """Begin the message's only part at its first text: only then is it clear if it is an answer or a refusal."""
        if not self._begun:
            self._begun = True
            yield "response.content_part.added", {**self._place(), "part": part}

    def _closing(self, answer: Answer) -> Iterator[Event]:
        part = self._shape.part(answer)
        yield from self._begin(EMPTY_TEXT)
        for number, annotation in enumerate(part.get("annotations", [])):
            numbered = {"annotation_index": number, "annotation": annotation}
            yield "response.output_text.annotation.added", {**self._place(), **numbered}
        if part["type"] == "refusal":
            yield "response.refusal.done", {**self._place(), "refusal": answer.text}
        else:
            yield "response.output_text.done", {**self._place(), "text": answer.text, "logprobs": part["logprobs"]}
        yield "response.content_part.done", {**self._place(), "part": part}
        done = {"output_index": self._message_index, "item": self._shape.message(answer)}
        yield "response.output_item.done", done
        body = self._shape.finished(answer)
        yield f"response.{body['status']}", {"response": body}

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._shape.message_id, "output_index": self._message_index, "content_index": 0}

    def _numbered(self, kind: str, content: dict[str, Any]) -> ServerSentEvent:
        body = {"type": kind, "sequence_number": next(self._numbers), **content}
        return ServerSentEvent(data=json.dumps(body), event=kind, sep="\n")


def _search(item: dict[str, Any]) -> Iterator[Event]:
    """The search is over when its first event is sent: an error in the search is an HTTP error."""
    place = {"item_id": item["id"], "output_index": 0}
    added = {**item, "status": "in_progress", "queries": [], "results": None}
    yield "response.output_item.added", {"output_index": 0, "item": added}
    yield "response.file_search_call.in_progress", place
    yield "response.file_search_call.searching", place
    if item["status"] == "completed":
        yield "response.file_search_call.completed", place
    yield "response.output_item.done", {"output_index": 0, "item": item}
