"""Turns the messages that a client sends into a conversation of plain text.

A history may come from another model: it may hold tool calls and their results, refusals, and turns without content.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Literal, cast

from pydantic import model_validator

from retrieval.answers.conversation import Role
from services.gateway.answering.content import Content, words_of
from services.gateway.http.bodies import NullsAbsent

ANSWERING = ("assistant", "tool", "function")


class Function(NullsAbsent):
    name: str
    arguments: str = ""


class ToolCall(NullsAbsent):
    """`custom` is a tool that takes plain text, as its `input`."""

    id: str
    function: Function | None = None
    custom: dict[str, Any] | None = None


class ChatMessage(NullsAbsent):
    """One message of a chat. A `name` only says which function a result comes from; else it has no effect."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Content | None = None
    refusal: str | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None

    @model_validator(mode="after")
    def _says_something(self) -> ChatMessage:
        if self.content is None and self.role not in ("assistant", "function"):
            raise ValueError(f"a message of the role '{self.role}' needs `content`")
        return self

    def text(self) -> str:
        return words_of(self.content or []) or self.refusal or ""


def turns(messages: Sequence[ChatMessage]) -> list[tuple[Role, str]]:
    """The conversation as turns of text. All messages between two messages of the user become one turn of the
    assistant. Chat templates know no tools and want the two to take turns, so tool calls and their results become text
    in brackets.
    """
    found: list[tuple[Role, str]] = []
    for answered, group in groupby(messages, lambda message: message.role in ANSWERING):
        said = list(group)
        if answered:
            found.append(("assistant", "\n".join(filter(None, _lines(said)))))
        else:
            found += [(cast(Role, message.role), message.text()) for message in said]
    return found


def _lines(said: Sequence[ChatMessage]) -> Iterator[str]:
    """The assistant's texts, and each tool's result after the call that asked for it."""
    calls = {call.id: call for message in said for call in message.tool_calls or []}
    for message in said:
        if message.role == "assistant":
            yield message.text()
        else:
            yield f"({_asked(calls.get(message.tool_call_id or ''), message.name)} gave: {message.text()})"


def _asked(call: ToolCall | None, name: str | None) -> str:
    if call is None:
        return name or "A tool"
    if call.function:
        return f"{call.function.name}({call.function.arguments})"
    custom = call.custom or {}
    return f"{custom.get('name') or 'A tool'}({custom.get('input') or ''})"
