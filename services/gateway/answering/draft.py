"""An answer in progress: its prompt, cut to fit, and what the model has written so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from retrieval.answers.answerability import answerability
from retrieval.answers.conversation import Conversation
from retrieval.answers.grounding import cite, is_grounded, prompt_version
from retrieval.answers.json_citations import cite_json
from retrieval.model import Message, Passage
from services.gateway.answering.fitting import PromptParts, TooLong, fit, halved
from services.gateway.answering.models import GROUNDED
from services.gateway.answering.outgoing import Outgoing
from services.gateway.answering.turn import Answer, EndedBy, Question
from services.gateway.upstream.retrieval import Retrieved
from services.gateway.upstream.slots import Piece, Size
from services.kit.errors import ApiError


@dataclass
class Draft:
    """An answer in progress: the question, the prompt and the slot in use, and what the model has written so far."""

    question: Question
    retrieved: Retrieved
    unsourced: bool
    text: str = ""
    last: Piece = field(default_factory=lambda: Piece("", "stop"))
    ended_by: EndedBy | None = None

    def __post_init__(self) -> None:
        self.route, self.history = self.question.choice.route, self.question.history
        self.max_tokens: int = self.question.sampling["max_tokens"]

    @property
    def rests_on_passages(self) -> bool:
        """Whether the answer must come from passages: False in other modes, and if retrieval did not answer."""
        return self.question.choice.mode in GROUNDED and not self.unsourced

    def messages(self) -> list[Message]:
        return self._messages(self.retrieved.passages, self.history)

    def _messages(self, passages: Sequence[Passage], history: Sequence[Message]) -> list[Message]:
        question = self.question
        asked = Conversation(question.text, tuple(history), question.system or "")
        return asked.grounded(passages, question.schema) if self.rests_on_passages else asked.plain(question.schema)

    def message_bodies(self) -> list[dict[str, str]]:
        return [vars(message) for message in self.messages()]

    def body(self) -> dict[str, Any]:
        """The request to the slot."""
        sampling = {**self.question.sampling, "max_tokens": self.max_tokens}
        if "min_tokens" in sampling:
            sampling["min_tokens"] = min(sampling["min_tokens"], self.max_tokens)
        return {"messages": self.message_bodies(), **sampling}

    def parts(self) -> PromptParts:
        fixed = "".join(message.content for message in self._messages((), ()))
        asked = self.question
        return PromptParts(
            fixed, self.history, self.retrieved.passages, asked.sampling["max_tokens"], asked.keep_history
        )

    def outgoing(self) -> Outgoing:
        """What of the text is sent and when. JSON is sent as it comes, because JSON that is cut or refused is no longer
        JSON. A client that asks for a length gets it.
        """
        question, prose = self.question, self.question.schema is None
        guarded = question.guarded and self.rests_on_passages
        watched = prose and "min_tokens" not in question.sampling
        return Outgoing(self.retrieved.passages, guarded and prose, watched)


def unanswerable(draft: Draft) -> bool:
    """Whether the server refuses by itself, because the passages are too far from the question to answer it."""
    found = draft.retrieved
    if not draft.rests_on_passages:
        return False
    return not found.passages or answerability(found.query, found.passages) < draft.question.min_answerability


def cut(draft: Draft, size: Size | None, reason: str) -> bool:
    """Cut the prompt so that it fits; returns whether anything was removed. If the model's server counts no tokens,
    half of what may be removed is removed.

    Raises ApiError 400 if nothing is left that may be removed.
    """
    parts = draft.parts()
    try:
        fitted = fit(parts, size) if size else halved(parts)
    except TooLong as error:
        raise too_long(draft, reason) from error
    draft.history, draft.max_tokens = fitted.history, fitted.max_tokens
    draft.retrieved = replace(draft.retrieved, passages=fitted.passages)
    return (fitted.history, fitted.passages) != (parts.history, parts.passages)


def finished(draft: Draft, timings: dict[str, float]) -> Answer:
    """The answer with its citations. With many sentences and many passages this takes a second."""
    question, retrieved, text = draft.question, draft.retrieved, draft.text
    citations = tuple((cite if question.schema is None else cite_json)(text, retrieved.passages))
    return Answer(
        text=text,
        finish_reason="stop" if draft.ended_by else draft.last.finish_reason or "stop",
        citations=citations,
        passages=retrieved.passages,
        messages=tuple(draft.messages()),
        prompt_tokens=draft.last.prompt_tokens,
        completion_tokens=draft.last.completion_tokens,
        timings=timings,
        versions={
            "weights": draft.route.version_id or "base",
            "model": question.choice.name,
            "index": retrieved.collections,
            "prompt": prompt_version(),
        },
        answerability=answerability(retrieved.query, retrieved.passages) if retrieved.passages else None,
        unsourced=draft.unsourced,
        searched=searched(question, retrieved),
        grounded=is_grounded(text, retrieved.passages, citations) if question.choice.mode in GROUNDED else None,
        ended_by=draft.ended_by,
        logprobs=draft.last.logprobs,
    )


def searched(question: Question, retrieved: Retrieved) -> str | None:
    return retrieved.query if question.choice.mode in GROUNDED else None


def too_long(draft: Draft, reason: str) -> ApiError:
    what = 'The conversation does not fit the model\'s context; truncation="auto" leaves its oldest turns out'
    if not draft.history:
        what = "The question does not fit the model's context, even without history and passages"
    message = f"{what}: {reason}" if reason else f"{what}."
    return ApiError(400, message, code="context_length_exceeded", param=draft.question.place)
