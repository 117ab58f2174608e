"""The messages of a conversation as clients send them, and the turns of plain text that they come to.

A history may be another model's: it may hold calls of tools and their results, refusals, and turns without content.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, model_validator

from retrieval.answers.conversation import Role
from services.gateway.http.bodies import NullsAbsent

WORDS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
"""The types of part that are read, and the field that has the words of each."""
NOT_READ = {
    "image_url": "an image",
    "input_image": "an image",
    "input_audio": "sound",
    "file": "a file",
    "input_file": "a file",
}
ANSWERING = ("assistant", "tool", "function")


class Part(NullsAbsent):
    """A text, or the words with which a model refused."""

    type: Literal["text", "input_text", "output_text", "refusal"]
    text: str = ""
    refusal: str = ""

    def words(self) -> str:
        return self.text or self.refusal


def _parts(content: Any) -> Any:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise ValueError("it must be a text or a list of text parts")
    for part in content:
        _check_part(part)
    return content


def _check_part(part: Any) -> None:
    kind = str(part.get("type")) if isinstance(part, dict) else type(part).__name__
    if kind in NOT_READ:
        raise ValueError(f"{NOT_READ[kind]} stands in it, and the base model takes none; say it in words ('{kind}')")
    if kind not in WORDS:
        raise ValueError(f"a part of type '{kind}' is not served; send the text of it as a text part")
    if not isinstance(part.get(WORDS[kind]), str):
        raise ValueError(f"a part of type '{kind}' has its words in '{WORDS[kind]}'")


Content = Annotated[list[Part], BeforeValidator(_parts)]


class Function(NullsAbsent):
    name: str
    arguments: str = ""


class ToolCall(NullsAbsent):
    """`custom` is a tool that takes plain text, as its `input`."""

    id: str
    function: Function | None = None
    custom: dict[str, Any] | None = None


class ChatMessage(NullsAbsent):
    """One message of a chat. A `name` has no effect but to say which function a result is of."""

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


def words_of(parts: Iterable[Part]) -> str:
    return "\n".join(part.words() for part in parts)


def turns(messages: Sequence[ChatMessage]) -> list[tuple[Role, str]]:
    """The conversation as turns of text. What lies between two messages of the user is one turn of the assistant: chat
    templates know no tools and want the two to take turns, so what tools were asked and gave stands in it in brackets.
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
    """What an assistant said, and each result of a tool behind the call that asked for it."""
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
