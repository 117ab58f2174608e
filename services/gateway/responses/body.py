"""OpenAI's Responses shape of one answer: the body, and the items in it. Fields of our own: `citations` next to the
annotations, and `passages`, `timings` and `versions` on the body.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from retrieval.filters import filter_body
from services.gateway.answering.evidence import (
    citation_bodies,
    explained,
    is_server_refusal,
    passage_bodies,
    token_bodies,
)
from services.gateway.answering.turn import Answer, Question, Started
from services.gateway.responses.request import FileSearchTool, InputMessage, ResponseRequest
from services.kit.errors import ApiError


@dataclass(frozen=True)
class ResponseShape:
    """Presents one answer. `key` is the part that the ids of the response and its items share; `created` is in Unix
    seconds.
    """

    key: str
    created: int
    request: ResponseRequest
    question: Question

    @property
    def id(self) -> str:
        return f"resp_{self.key}"

    @property
    def message_id(self) -> str:
        return f"msg_{self.key}"

    @property
    def search_id(self) -> str:
        return f"fs_{self.key}"

    def opened(self) -> dict[str, Any]:
        return self._body("in_progress")

    def failed(self, error: ApiError) -> dict[str, Any]:
        cause = {"code": "server_error", "message": error.message, "param": error.param, "type": error.code}
        return {**self._body("failed"), "error": cause}

    def finished(self, answer: Answer) -> dict[str, Any]:
        cut = answer.finish_reason == "length"
        body = self._body("incomplete" if cut else "completed")
        body["incomplete_details"] = {"reason": "max_output_tokens"} if cut else None
        body["completed_at"] = self.created + answer.timings["total_ms"] / 1000
        body["output"] = [*self.searches(answer), self.message(answer)]
        return {**body, "usage": _usage(answer), **explained(answer)}

    def searches(self, found: Started | Answer) -> list[dict[str, Any]]:
        """The file_search_call, if the mode searches for passages."""
        if found.searched is None:
            return []
        call = {
            "id": self.search_id,
            "type": "file_search_call",
            "status": "failed" if found.unsourced else "completed",
            "queries": [found.searched],
            "results": None,
        }
        results = search_results(passage_bodies(found.passages)) if self.request.with_results() else None
        return [{**call, "results": results}]

    def message(self, answer: Answer) -> dict[str, Any]:
        status = "incomplete" if answer.finish_reason == "length" else "completed"
        return {**self.empty_message(), "status": status, "content": [self.part(answer)]}

    def part(self, answer: Answer) -> dict[str, Any]:
        """The message's content: the answer's text, or the server's refusal."""
        return refusal(answer.text) if is_server_refusal(self.question, answer.text) else output_text(answer)

    def empty_message(self) -> dict[str, Any]:
        return {"id": self.message_id, "type": "message", "role": "assistant", "status": "in_progress", "content": []}

    def input_items(self) -> list[dict[str, Any]]:
        """The request's own messages, as they are stored and listed."""
        return [_input_item(f"msg_{self.key}_{n}", message) for n, message in enumerate(self.request.input)]

    def _body(self, status: str) -> dict[str, Any]:
        request, sampling = self.request, self.question.sampling
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "completed_at": None,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": request.instructions,
            "max_output_tokens": sampling["max_tokens"],
            "max_tool_calls": request.max_tool_calls,
            "metadata": request.metadata or {},
            "model": self.question.choice.name,
            "output": [],
            "parallel_tool_calls": request.parallel_tool_calls is not False,
            "previous_response_id": request.previous_response_id,
            "reasoning": None,
            "store": request.store is not False,
            "temperature": sampling["temperature"],
            "text": {"format": request.text.format.model_dump(by_alias=True)},
            "tool_choice": _tool_choice(request),
            "tools": [_tool(tool) for tool in request.tools or []],
            "top_logprobs": request.top_logprobs or 0,
            "top_p": sampling.get("top_p", 1.0),
            "truncation": request.truncation or "disabled",
            "usage": None,
            "user": request.user,
        }


def search_results(passages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """`results` of a file_search_call, from the entries of `passages`."""
    return [
        {name: passage.get(name) for name in ("file_id", "filename", "score", "text", "attributes")}
        for passage in passages
    ]


def output_text(answer: Answer) -> dict[str, Any]:
    """The answer's content part. An annotation's `index` is the offset in the text at which the cited span ends."""
    citations = citation_bodies(answer)
    annotations = [
        {
            "type": "file_citation",
            "file_id": entry["file_id"],
            "filename": entry["filename"],
            "index": entry["end_index"],
        }
        for entry in citations
        if entry["supported"]
    ]
    return {
        "type": "output_text",
        "text": answer.text,
        "annotations": annotations,
        "citations": citations,
        "logprobs": token_bodies(answer),
    }


def refusal(text: str) -> dict[str, Any]:
    return {"type": "refusal", "refusal": text}


def _input_item(item_id: str, message: InputMessage) -> dict[str, Any]:
    kind = "output_text" if message.role == "assistant" else "input_text"
    none: dict[str, Any] = {"annotations": []} if message.role == "assistant" else {}
    parts = [
        refusal(part.refusal) if part.type == "refusal" else {"type": kind, "text": part.text, **none}
        for part in message.content
    ]
    return {"id": item_id, "type": "message", "role": message.role, "status": "completed", "content": parts}


def _tool(tool: FileSearchTool) -> dict[str, Any]:
    """The tool as the client asked for it."""
    filters = filter_body(tool.filters) if tool.filters is not None else None
    return {**tool.model_dump(exclude={"filters"}), "filters": filters}


def _tool_choice(request: ResponseRequest) -> Any:
    choice = request.tool_choice or "auto"
    return choice if isinstance(choice, str) else choice.model_dump()


def _usage(answer: Answer) -> dict[str, Any]:
    return {
        "input_tokens": answer.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": answer.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": answer.prompt_tokens + answer.completion_tokens,
    }
