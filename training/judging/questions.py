"""The questions that a model is judged on, and its answers."""

from __future__ import annotations

from dataclasses import dataclass

from retrieval.answers.conversation import Conversation
from retrieval.model import Message
from retrieval.text.layout import LIST_NUMBER
from retrieval.text.markers import strip_markers
from retrieval.text.numbers import FIGURE
from training.model import Example


@dataclass(frozen=True)
class Question:
    """A question that a model is judged on, after the `system` messages and the `history` of its conversation.

    `document` names the file that answers, `other_documents` further files that answer; `answerable` says whether any
    does. `facts` are the required facts, each with its accepted spellings. `facts_are_figures` says that nobody named
    them: they are the figures of the `reference`, which is an answer in the wanted style.
    """

    question: str
    answerable: bool
    document: str | None = None
    reference: str = ""
    facts: tuple[tuple[str, ...], ...] = ()
    history: tuple[Message, ...] = ()
    other_documents: tuple[str, ...] = ()
    system: str = ""
    facts_are_figures: bool = False

    @property
    def documents(self) -> tuple[str, ...]:
        """Every file that is known to answer."""
        return (self.document, *self.other_documents) if self.document else self.other_documents

    @property
    def conversation(self) -> Conversation:
        return Conversation(self.question, self.history, self.system)

    @classmethod
    def of(cls, example: Example) -> Question:
        """A held-out example as a question. Its required facts are those in `metadata.facts`, else the figures in its
        answer.
        """
        named = _named_facts(example)
        return cls(
            question=example.question,
            answerable=not example.refuses,
            document=example.document,
            reference=example.answer,
            facts=() if example.refuses else named or _figures_in(example.answer),
            history=example.history,
            system=example.system,
            facts_are_figures=not named,
        )


@dataclass(frozen=True)
class Completion:
    """What a server answered. `finish_reason` is `stop` if the model ended by itself, `length` if the answer
    was cut."""

    text: str
    finish_reason: str
    tokens: int


def _named_facts(example: Example) -> tuple[tuple[str, ...], ...]:
    """`metadata.facts`: a list of facts, each a text or a list of its spellings."""
    named = example.metadata.get("facts")
    if not isinstance(named, list):
        return ()
    return tuple(tuple(map(str, fact)) if isinstance(fact, list) else (str(fact),) for fact in named)


def _figures_in(answer: str) -> tuple[tuple[str, ...], ...]:
    found = dict.fromkeys(FIGURE.findall(strip_markers(LIST_NUMBER.sub("", answer))))
    return tuple((figure,) for figure in found)
