"""Rows of training files as examples: OpenAI's `messages`, alpaca, sharegpt, and preference pairs in two spellings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, cast

from retrieval.model import Message
from training.data.reading import BadRow
from training.model import Example

Format = Literal["messages", "alpaca", "sharegpt", "preference", "openai_preference"]
Role = Literal["system", "user", "assistant"]
ROLES: Mapping[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
SHAREGPT_ROLES: Mapping[str, Role] = {
    "system": "system", "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant",
    "chatgpt": "assistant", "model": "assistant", "bot": "assistant",
}  # fmt: skip
TOOLS = ("tools", "functions", "tool_calls", "function_call")


@dataclass(frozen=True)
class _Read:
    """What was read from a row. `unlearned` are the places of the assistant's turns with the weight 0."""

    messages: list[Message]
    unlearned: frozenset[int] = frozenset()
    rejected: str | None = None


@dataclass(frozen=True)
class _Shape:
    """A format: the keys by which it is recognised, the keys that it reads, and how."""

    signs: frozenset[str]
    reads: frozenset[str]
    read: Callable[[dict[str, Any]], _Read]


def detect(row: Mapping[str, Any]) -> Format:
    """The format of a row, by its keys. Raises BadRow if no format matches, or more than one."""
    found = [name for name, shape in SHAPES.items() if shape.signs & row.keys()]
    if not found:
        known = "; ".join(f"{name} ({', '.join(sorted(shape.signs))})" for name, shape in SHAPES.items())
        raise BadRow(f'no "messages" list, nor the keys of another format; known are {known}')
    if len(found) > 1:
        raise BadRow(f"its keys are of several formats: {', '.join(found)}")
    return found[0]


def read_example(row: dict[str, Any], line: int) -> tuple[Format, Example, frozenset[str]]:
    """A row's format, its example, and the keys that were not read. Raises BadRow with what is wrong, in words."""
    name = detect(row)
    shape = SHAPES[name]
    _no_tools(row)
    metadata = row["metadata"] if row.get("metadata") is not None else {}
    if not isinstance(metadata, dict):
        raise BadRow('"metadata" is not an object')
    found = shape.read(row)
    _check_turns(found)
    example = Example(tuple(found.messages), metadata, found.rejected, line, found.unlearned)
    return name, example, frozenset(row.keys()) - shape.reads - {"metadata"}


def _openai(row: dict[str, Any]) -> _Read:
    messages = _conversation(row["messages"], "messages")
    return _Read(messages, _unlearned(messages, row["messages"]))


def _unlearned(messages: Sequence[Message], turns: Sequence[dict[str, Any]]) -> frozenset[int]:
    """The places of the assistant's turns with the weight 0; a weight has no effect on the others."""
    answers = [place for place, message in enumerate(messages) if message.role == "assistant"]
    return frozenset(place for place in answers if turns[place].get("weight") == 0)


def _alpaca(row: dict[str, Any]) -> _Read:
    asked = _text(row.get("instruction"), '"instruction"')
    more = row.get("input")
    if more is not None and not isinstance(more, str):
        raise BadRow('"input" is not a text')
    messages = [Message("system", _text(row["system"], '"system"'))] if row.get("system") else []
    for turn in _list(row.get("history") or [], '"history"'):
        if not isinstance(turn, list) or len(turn) != 2:
            raise BadRow('"history" is not a list of pairs of question and answer')
        messages += [Message("user", _text(turn[0], '"history"')), Message("assistant", _text(turn[1], '"history"'))]
    question = f"{asked}\n\n{more.strip()}" if more and more.strip() else asked
    return _Read([*messages, Message("user", question), Message("assistant", _text(row.get("output"), '"output"'))])


def _sharegpt(row: dict[str, Any]) -> _Read:
    turns = _list(row["conversations"], '"conversations"')
    messages = [_sharegpt_turn(position, turn) for position, turn in enumerate(turns, start=1)]
    unlearned = _unlearned(messages, turns)
    if not row.get("system"):
        return _Read(messages, unlearned)
    system = Message("system", _text(row["system"], '"system"'))
    return _Read([system, *messages], frozenset(place + 1 for place in unlearned))


def _sharegpt_turn(position: int, turn: Any) -> Message:
    if not isinstance(turn, dict):
        raise BadRow(f"message {position} is not an object")
    said_by = turn.get("from")
    role = SHAREGPT_ROLES.get(said_by) if isinstance(said_by, str) else None
    if role is None:
        raise BadRow(f"message {position} is from {said_by!r}; known are {', '.join(SHAREGPT_ROLES)}")
    _check_weight(position, turn)
    return Message(role, _text(turn.get("value"), f"message {position} ({said_by})"))


def _trl_preference(row: dict[str, Any]) -> _Read:
    if "prompt" in row:
        prompt = _prompt(row["prompt"])
        return _pair(prompt, _answer(row.get("chosen"), "chosen"), _answer(row.get("rejected"), "rejected"))
    chosen, rejected = (_conversation(row.get(side), side) for side in ("chosen", "rejected"))
    if chosen[:-1] != rejected[:-1]:
        raise BadRow('without "prompt", "chosen" and "rejected" must be one conversation up to their last turn')
    if chosen[-1].role != "assistant" or rejected[-1].role != "assistant":
        raise BadRow('the last turn of "chosen" and of "rejected" must be the assistant\'s')
    for side in ("chosen", "rejected"):
        _check_counts(row[side][-1], side)
    return _pair(chosen[:-1], chosen[-1].content, rejected[-1].content)


def _openai_preference(row: dict[str, Any]) -> _Read:
    asked = row.get("input")
    if not isinstance(asked, dict):
        raise BadRow('"input" is not an object with "messages"')
    _no_tools(asked)
    prompt = _conversation(asked.get("messages"), "input.messages")
    answers = [_answer(row.get(side), side) for side in ("preferred_output", "non_preferred_output")]
    return _pair(prompt, answers[0], answers[1])


def _pair(prompt: list[Message], chosen: str, rejected: str) -> _Read:
    if " ".join(chosen.split()) == " ".join(rejected.split()):
        raise BadRow("the preferred answer and the other one are the same")
    return _Read([*prompt, Message("assistant", chosen)], rejected=rejected)


def _prompt(prompt: Any) -> list[Message]:
    if isinstance(prompt, str):
        return [Message("user", _text(prompt, '"prompt"'))]
    return _conversation(prompt, "prompt")


def _answer(answer: Any, name: str) -> str:
    """A plain text, or a list of one assistant message."""
    if isinstance(answer, str):
        return _text(answer, f'"{name}"')
    messages = _conversation(answer, name)
    if len(messages) != 1 or messages[0].role != "assistant":
        raise BadRow(f'"{name}" must be a text or one assistant message')
    _check_counts(answer[0], name)
    return messages[0].content


def _conversation(turns: Any, name: str) -> list[Message]:
    if not isinstance(turns, list) or not turns:
        raise BadRow(f'no "{name}" list')
    return [_message(position, message) for position, message in enumerate(turns, start=1)]


def _message(position: int, message: Any) -> Message:
    if not isinstance(message, dict):
        raise BadRow(f"message {position} is not an object")
    _no_tools(message)
    role = message.get("role")
    known = ROLES.get(role) if isinstance(role, str) else None
    if known is None:
        raise BadRow(f"message {position} has the unknown role {role!r}; known are {', '.join(ROLES)}")
    _check_weight(position, message)
    return Message(known, _content(message.get("content"), f"message {position} ({role})"))


def _check_weight(position: int, message: Mapping[str, Any]) -> None:
    """JSON has one kind of number, so 1.0 is allowed as 1; true, which Python takes for 1, is not."""
    weight = message.get("weight")
    if isinstance(weight, bool) or weight not in (None, 0, 1):
        raise BadRow(f"message {position} has a weight other than 0 and 1")


def _check_counts(answer: Mapping[str, Any], name: str) -> None:
    if answer.get("weight") == 0:
        raise BadRow(f'"{name}" has the weight 0, so there would be nothing to compare')


def _content(content: Any, where: str) -> str:
    """A text, or OpenAI's list of text parts."""
    if not isinstance(content, list):
        return _text(content, where)
    for part in content:
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            kind = part.get("type") if isinstance(part, dict) else type(part).__name__
            raise BadRow(f"{where} has a part of the type {kind!r}; only text is trained on")
    return _text("\n".join(cast(str, part["text"]) for part in content), where)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BadRow(f"{where} has no text as its content")
    return value.strip()


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadRow(f"{where} is not a list")
    return value


def _no_tools(row: Mapping[str, Any]) -> None:
    for key in TOOLS:
        if row.get(key):
            raise BadRow(f'it has "{key}"; tool calls are not trained here')


def _check_turns(found: _Read) -> None:
    roles = [message.role for message in found.messages]
    if "assistant" not in roles:
        raise BadRow("no assistant turn")
    if roles[-1] != "assistant":
        raise BadRow(f"the last turn is the {roles[-1]}'s, not the assistant's")
    last = len(roles) - 1
    if last not in found.unlearned:
        if roles[-2:-1] != ["user"]:
            raise BadRow("the assistant's last turn does not follow a user's")
        return
    follows = [place for place, pair in enumerate(pairwise(roles), start=1) if pair == ("user", "assistant")]
    if not set(follows) - found.unlearned:
        raise BadRow(
            "the last turn has the weight 0 and no other answer to a user's turn counts, so nothing of this "
            "conversation would be learned"
        )


def _shape(signs: str, reads: str, read: Callable[[dict[str, Any]], _Read]) -> _Shape:
    return _Shape(frozenset(signs.split()), frozenset(f"{signs} {reads}".split()), read)


SHAPES: Mapping[Format, _Shape] = {
    "messages": _shape("messages", "tools functions parallel_tool_calls", _openai),
    "alpaca": _shape("instruction output", "input system history", _alpaca),
    "sharegpt": _shape("conversations", "system tools", _sharegpt),
    "preference": _shape("chosen rejected", "prompt", _trl_preference),
    "openai_preference": _shape("preferred_output non_preferred_output", "input", _openai_preference),
}
