"""The values that the stages of training pass on: examples, and the rows made from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from retrieval.answers.conversation import Conversation
from retrieval.answers.grounding import is_refusal
from retrieval.model import Message

OF_THE_LAST = ("document", "facts")
"""What an example's metadata says only of its last answer."""
RowKind = Literal["grounded", "refusal", "plain", "general"]


@dataclass(frozen=True)
class Example:
    """One training conversation, which ends with a turn of the assistant.

    Each answer to a user's turn is learned, except those at the places `unlearned` (weight 0). Where this class speaks
    of a question and its answer, it means the last one that is learned, and so does `metadata`. `rejected` is a worse
    answer than it, in a data set of preference pairs; there only the last turn is learned. `line` is the example's line
    in its file, from 1.
    """

    messages: tuple[Message, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    rejected: str | None = None
    line: int = field(default=0, compare=False)
    unlearned: frozenset[int] = frozenset()

    @property
    def turns(self) -> tuple[Example, ...]:
        """Each answer that is learned, in an example of its own that ends with it; the turns before it are its history.

        A document or facts that `metadata` names are known only of the last one.
        """
        *earlier, last = self._learned() or [len(self.messages) - 1]
        unnamed = {name: value for name, value in self.metadata.items() if name not in OF_THE_LAST}
        return (*(self._until(place, unnamed) for place in earlier), self._until(last, self.metadata))

    @property
    def unasked(self) -> int:
        """How many turns of the assistant do not have weight 0 and still are not learned, since they follow no turn of
        a user.
        """
        answers = {place for place, message in enumerate(self.messages) if message.role == "assistant"}
        return len(answers - self.unlearned - set(self._learned())) if self.rejected is None else 0

    @property
    def conversation(self) -> Conversation:
        """The messages before the answer, as a server takes them."""
        return Conversation.of([(message.role, message.content) for message in self.messages[: self._last]])

    @property
    def question(self) -> str:
        """The user's turn that is answered."""
        return self.messages[self._last - 1].content

    @property
    def answer(self) -> str:
        return self.messages[self._last].content

    @property
    def history(self) -> tuple[Message, ...]:
        """The turns before the question, without system messages."""
        return self.conversation.history

    @property
    def system(self) -> str:
        """What the system messages before the answer ask for, if anything."""
        return self.conversation.system

    @property
    def asked(self) -> str:
        """The question with the turns that lead to it."""
        return "\n".join([*(message.content for message in self.history), self.question])

    @property
    def whole_prompt(self) -> str:
        """The whole text before the answer, system messages included."""
        return "\n".join(message.content for message in self.messages[: self._last])

    @property
    def document(self) -> str | None:
        """The filename of the document that answers, if the data set names it."""
        name = self.metadata.get("document")
        return name if isinstance(name, str) else None

    @property
    def documents(self) -> tuple[str, ...]:
        return (self.document,) if self.document else ()

    @property
    def refuses(self) -> bool:
        """Whether the answer says that the documents do not answer: the data set decides, else the wording of the
        answer.
        """
        if "document" in self.metadata:
            return self.metadata["document"] is None
        return is_refusal(self.answer, None)

    @property
    def _last(self) -> int:
        places = range(len(self.messages) - 1, 0, -1)
        return next(filter(self._is_learned, places), len(self.messages) - 1)

    def _learned(self) -> list[int]:
        if self.rejected is not None:
            return [self._last]
        return [place for place in range(1, len(self.messages)) if self._is_learned(place)]

    def _is_learned(self, place: int) -> bool:
        roles = self.messages[place - 1].role, self.messages[place].role
        return roles == ("user", "assistant") and place not in self.unlearned

    def _until(self, place: int, metadata: Mapping[str, Any]) -> Example:
        if place == len(self.messages) - 1 and len(self._learned()) == 1:
            return self
        before = frozenset(at for at in range(place) if self.messages[at].role == "assistant")
        return replace(self, messages=self.messages[: place + 1], metadata=metadata, unlearned=before)


def turns_of(examples: Iterable[Example]) -> list[Example]:
    """Every answer that is learned from the examples, in an example of its own."""
    return [turn for example in examples for turn in example.turns]


@dataclass(frozen=True)
class TrainingRow:
    """One prompt as the server would send it, and the answer to learn. `file_ids` are those of its passages.

    A row of a preference pair has the `rejected` answer too. `line` is the line of its example in the training file, 0
    for a general example.
    """

    prompt: tuple[Message, ...]
    completion: str
    kind: RowKind
    file_ids: tuple[str, ...] = ()
    rejected: str | None = None
    line: int = field(default=0, compare=False)
