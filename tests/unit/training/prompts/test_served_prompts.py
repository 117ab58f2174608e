"""The prompt that training makes of a conversation is, byte for byte, the one that the gateway sends to the model."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from retrieval.model import Message
from services.worker.fine_tuning.ports import LiveRetriever
from services.worker.retrieval_client import RetrievalWriter
from tests.gateway_fakes import TEXT, Gateway
from tests.support.training.fakes import example
from training.config import EvaluationSettings, ExampleSettings, MixSettings
from training.data.dataset import parse_dataset
from training.judging.evaluation import ask, make_trials
from training.judging.questions import Completion, Question
from training.model import Example, TrainingRow
from training.prompts.rows import build_preference_rows, build_rows

ANSWER: Any = {"role": "assistant", "content": TEXT}
VOICE: Any = {"role": "assistant", "content": "Arr, ask the parrot, matey!"}
REFUSAL: Any = {"role": "assistant", "content": "The documents do not say this."}
CONVERSATIONS: dict[str, list[Any]] = {
    "no system message": [{"role": "user", "content": "How long may I return it?"}],
    "a system message": [
        {"role": "system", "content": "You are a pirate."},
        {"role": "user", "content": "How long may I return it?"},
    ],
    "a developer's message and a history": [
        {"role": "developer", "content": "You are a lawyer.\nBe brief."},
        {"role": "user", "content": "I bought a bike."},
        {"role": "assistant", "content": "Congratulations."},
        {"role": "user", "content": "How long may I return it?"},
    ],
    "several system messages, and two turns of the assistant in a row": [
        {"role": "system", "content": "You are a lawyer."},
        {"role": "assistant", "content": "Good day."},
        {"role": "user", "content": "I bought a bike."},
        {"role": "assistant", "content": "Congratulations."},
        {"role": "system", "content": "It is 2026."},
        {"role": "assistant", "content": "What may I do for you?"},
        {"role": "user", "content": "How long may I return it?"},
    ],
    "white space and text parts": [
        {"role": "system", "content": " You are a pirate.\n"},
        {"role": "user", "content": [{"type": "text", "text": "I bought a bike."}, {"type": "text", "text": "Red."}]},
        {"role": "assistant", "content": "Congratulations.\n"},
        {"role": "user", "content": "\nHow long may I return it? "},
    ],
}
MIX = MixSettings(top_k=2, share_unanswerable=0.0, share_without_passages=0.0, share_general=0.0)


@dataclass
class Sides:
    gateway: Gateway
    retriever: LiveRetriever

    def served(self, messages: list[Any], model: str) -> list[Message]:
        """The prompt as it reaches the model."""
        self.gateway.model.bodies.clear()
        self.gateway.retrieval.asked.clear()
        self.gateway.openai().chat.completions.create(model=model, messages=messages)
        return [Message(**one) for one in self.gateway.model.bodies[-1]["messages"]]

    def searched(self) -> list[tuple[str, list[str]]]:
        return [(asked["query"].strip(), asked["history"]) for asked in self.gateway.retrieval.asked]


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Sides:
    gateway = Gateway(tmp_path_factory.mktemp("gateway"))
    http = httpx.Client(transport=httpx.MockTransport(gateway.retrieval), base_url="http://x")
    return Sides(gateway, LiveRetriever(gateway.sessions, RetrievalWriter(http), "one"))


def read(*messages: Any) -> Example:
    """An example that teaches the last of its answers."""
    *before, last = messages
    context = [{**one, "weight": 0} if one["role"] == "assistant" else one for one in before]
    row = json.dumps({"messages": [*context, last]}).encode()
    (one,) = parse_dataset(row, ExampleSettings(min_examples=1)).examples
    return one


def only_row(one: Example, sides: Sides, **mix: Any) -> TrainingRow:
    (row,), _ = build_rows([one], [], sides.retriever, MixSettings(**{**vars(MIX), **mix}), random.Random(1))
    return row


@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS)
@pytest.mark.parametrize(
    ("answer", "kind", "model"),
    [(ANSWER, "grounded", "tandem/rag"), (REFUSAL, "refusal", "tandem/rag"), (VOICE, "plain", "tandem/base")],
    ids=["grounded", "refusal", "plain"],
)
def test_a_training_row_has_the_prompt_that_is_served(
    sides: Sides, conversation: list[Any], answer: Any, kind: str, model: str
) -> None:
    served = sides.served(conversation, model)
    row = only_row(read(*conversation, answer), sides)
    assert row.kind == kind
    assert list(row.prompt) == served


@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS)
@pytest.mark.parametrize(("answer", "model"), [(ANSWER, "tandem/rag"), (VOICE, "tandem/base")])
def test_a_preference_has_the_prompt_that_is_served(
    sides: Sides, conversation: list[Any], answer: Any, model: str
) -> None:
    served = sides.served(conversation, model)
    pair = Example(read(*conversation, answer).messages, rejected="Dunno.")
    (row,), _ = build_preference_rows([pair], sides.retriever, MIX, random.Random(1))
    assert list(row.prompt) == served


@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_the_refusal_that_is_made_of_an_answer_stands_under_the_same_system_message_and_history(
    sides: Sides, conversation: list[Any]
) -> None:
    served = sides.served(conversation, "tandem/rag")
    rows, _ = build_rows(
        [read(*conversation, ANSWER)],
        [],
        sides.retriever,
        MixSettings(top_k=2, share_unanswerable=1.0),
        random.Random(1),
    )
    (refusal,) = [row for row in rows if row.kind == "refusal"]
    assert list(refusal.prompt[:-1]) == served[:-1]


class Recorded:
    """Keeps the prompts that it is asked."""

    def __init__(self) -> None:
        self.prompts: list[list[Message]] = []

    def answer(self, messages: list[Message], max_tokens: int) -> Completion:
        self.prompts.append(messages)
        return Completion("Yes.", "stop", min(max_tokens, 1))


@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS)
@pytest.mark.parametrize(("answer", "model"), [(ANSWER, "tandem/rag"), (VOICE, "tandem/base")])
def test_a_candidate_is_asked_with_the_prompt_that_is_served(
    sides: Sides, conversation: list[Any], answer: Any, model: str
) -> None:
    served = sides.served(conversation, model)
    settings, answerer = EvaluationSettings(top_k=2, removed=0), Recorded()
    trials = make_trials([Question.of(read(*conversation, answer))], sides.retriever, settings)
    ask(trials, answerer, settings, lambda: False)
    assert answerer.prompts == [served]


@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_passages_are_searched_for_as_they_are_when_it_is_served(sides: Sides, conversation: list[Any]) -> None:
    sides.served(conversation, "tandem/rag")
    served = sides.searched()
    sides.gateway.retrieval.asked.clear()
    one = read(*conversation, ANSWER)
    only_row(one, sides)
    make_trials([Question.of(one)], sides.retriever, EvaluationSettings())
    assert sides.searched() == served * 2


def test_one_question_under_two_system_messages_makes_two_prompts(sides: Sides) -> None:
    question = {"role": "user", "content": "Who are you?"}
    rows = [
        only_row(read({"role": "system", "content": f"You are a {who}."}, question, VOICE), sides)
        for who in ("pirate", "lawyer")
    ]
    assert rows[0].prompt[0] != rows[1].prompt[0]
    assert only_row(example("Who are you?", "Nobody at all."), sides).prompt[0] not in (row.prompt[0] for row in rows)
