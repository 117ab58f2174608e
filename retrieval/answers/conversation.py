"""Makes the prompt of a conversation. Serving, training and evaluation all make their prompts here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from retrieval.answers.grounding import grounded_messages, plain_messages
from retrieval.model import Message, Passage

Role = Literal["system", "developer", "user", "assistant"]


@dataclass(frozen=True)
class Conversation:
    """The last question, the turns before it, oldest first, and what the system messages ask for, if anything."""

    question: str
    history: tuple[Message, ...] = ()
    system: str = ""

    @classmethod
    def of(cls, said: Sequence[tuple[Role, str]]) -> Conversation:
        """Read the turns up to the question, which is the last one.

        The texts of all system and developer messages are joined, wherever they are. Consecutive turns of the assistant
        become one turn, because chat templates require user and assistant to alternate.
        """
        system = "\n".join(text for role, text in said if role in ("system", "developer"))
        return cls(said[-1][1], tuple(_history(said[:-1])), system)

    @property
    def earlier(self) -> list[str]:
        """The user's turns before the question, oldest first; a search takes them into account."""
        return [message.content for message in self.history if message.role == "user"]

    def grounded(self, passages: Sequence[Passage], schema: Mapping[str, Any] | None = None) -> list[Message]:
        """The prompt of the modes that retrieve."""
        return self._framed(grounded_messages(self.question.strip(), passages, self._before(), schema))

    def plain(self, schema: Mapping[str, Any] | None = None) -> list[Message]:
        """The prompt of the modes that do not retrieve."""
        return self._framed(plain_messages(self.question.strip(), self._before(), schema))

    def _before(self) -> list[Message]:
        """White space around a turn is removed, as for turns of a training file."""
        return [Message(message.role, message.content.strip()) for message in self.history]

    def _framed(self, messages: list[Message]) -> list[Message]:
        """With the conversation's own system messages below those of the prompt."""
        own = self.system.strip()
        if own:
            messages[0] = Message("system", f"{messages[0].content}\n\n{own}")
        return messages


def _history(said: Iterable[tuple[Role, str]]) -> Iterable[Message]:
    spoken = [(role, text) for role, text in said if role == "user" or role == "assistant"]
    for role, group in groupby(spoken, lambda turn: turn[0]):
        texts = [text for _, text in group]
        if role == "assistant":
            yield Message("assistant", "\n".join(filter(None, texts)))
        else:
            yield from (Message("user", text) for text in texts)
