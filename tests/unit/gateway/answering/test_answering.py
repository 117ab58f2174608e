from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from retrieval.answers.grounding import REFUSAL
from retrieval.model import Chunk, FileRef, Message, Passage
from services.contracts.convert import passage_body
from services.contracts.generation import Route, RoutingTable
from services.contracts.retrieval import SearchResponse
from services.gateway.answering.answering import Answering
from services.gateway.answering.models import Choice, Mode
from services.gateway.answering.turn import Answer, Question, Started
from services.gateway.upstream.retrieval import RetrievalClient
from services.gateway.upstream.slots import Slots
from services.kit.errors import ApiError

TEXT = "Customers may return a bike within 30 days of delivery."
ROUTE = Route(slot="base", address="http://slot", model="base-weights")
TABLE = RoutingTable(epoch=1, base=ROUTE, live={}, versions={}, loading=[])


def passages(count: int) -> list[Passage]:
    source = FileRef("default", "vs_1", "file-1", 1)
    return [
        Passage(Chunk(f"c{n}", source, n, TEXT, "refunds.md", "Refunds", (), None, 0, len(TEXT)), score=1.0)
        for n in range(count)
    ]


def sse(*texts: str) -> bytes:
    events: list[dict[str, Any]] = [{"choices": [{"delta": {"content": text}}]} for text in texts]
    events.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    events.append({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": len(texts)}})
    return b"".join(f"data: {json.dumps(event)}\n\n".encode() for event in events) + b"data: [DONE]\n\n"


class FakeSlot:
    """A slot that answers with fixed text; `fits` is the most passages that its context takes, `down` its first
    refusals."""

    def __init__(self, fits: int = 99, down: int = 0) -> None:
        self.fits, self.down, self.bodies = fits, down, list[dict[str, object]]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != "/v1/chat/completions":
            return httpx.Response(404)  # a server that neither tells its context nor counts tokens
        body = json.loads(request.content)
        self.bodies.append(body)
        if self.down:
            self.down -= 1
            raise httpx.ConnectError("refused")
        if body["messages"][-1]["content"].count(TEXT) > self.fits or len(body["messages"]) - 2 > self.fits:
            return httpx.Response(400, json={"error": {"message": "exceeds the maximum context length"}})
        return httpx.Response(200, content=sse("You may return it ", "within 30 days [1]."))


class CountingSlot:
    """A slot as vLLM is one: it counts tokens (a word is one, a character beyond ASCII two), refuses what is longer
    than its context, and streams `text` word by word. `calls` are the paths that were asked for."""

    CONTEXT = 2048

    def __init__(self, text: str = "You may return it within 30 days [1].") -> None:
        self.text, self.calls, self.bodies = text, list[str](), list[dict[str, Any]]()
        self.closed_after: int | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(request.url.path)
        body = json.loads(request.content)
        count = self.count(body)
        if request.url.path == "/tokenize":
            return httpx.Response(200, json={"count": count, "max_model_len": self.CONTEXT})
        if count > self.CONTEXT or body["max_tokens"] > self.CONTEXT:
            return httpx.Response(400, json={"error": {"message": "exceeds the maximum context length"}})
        self.bodies.append(body)
        return httpx.Response(200, stream=_Words(self, body["max_tokens"]))

    def count(self, body: dict[str, Any]) -> int:
        texts = [message["content"] for message in body["messages"]]
        return sum(len(text.split()) + 4 + 2 * sum(not letter.isascii() for letter in text) for text in texts)


class _Words(httpx.AsyncByteStream):
    def __init__(self, slot: CountingSlot, most: int) -> None:
        self.slot, self.most = slot, most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        words = re.findall(r"\s*\S+", self.slot.text)
        for number, word in enumerate(words[: self.most], start=1):
            self.slot.closed_after = number
            usage = {"prompt_tokens": 7, "completion_tokens": number}
            yield _line({"choices": [{"delta": {"content": word}}], "usage": usage})
        finish = "stop" if len(words) <= self.most else "length"
        yield _line({"choices": [{"delta": {}, "finish_reason": finish}]})
        yield _line({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": min(self.most, len(words))}})


def _line(event: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(event)}\n\n".encode()


class Retrieval:
    def __init__(self, count: int, up: bool = True) -> None:
        self.count, self.up, self.queries = count, up, list[str]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if not self.up:
            raise httpx.ConnectError("down")
        self.queries.append(json.loads(request.content)["query"])
        found = [passage_body(passage) for passage in passages(self.count)]
        response = SearchResponse(query="q", passages=found, timings_ms={}, collections={"vs_1": "col-1"})
        return httpx.Response(200, content=response.model_dump_json())


def answering(slot: Callable[[httpx.Request], httpx.Response], retrieval: Retrieval) -> Answering:
    def generation(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=TABLE.model_dump_json())

    http = [httpx.AsyncClient(transport=httpx.MockTransport(side), base_url="http://x") for side in (generation, slot)]
    slots = Slots(http[0], refresh=1.0, timeout=5.0, connect=lambda _address: http[1])
    retrieval_http = httpx.AsyncClient(transport=httpx.MockTransport(retrieval), base_url="http://x")
    return Answering(RetrievalClient(retrieval_http), slots)


def question(mode: Mode, **changes: object) -> Question:
    values: dict[str, object] = {
        "workspace_id": "default",
        "text": "How long may I return it?",
        "history": (),
        "choice": Choice(f"tandem/{mode}", mode, ROUTE),
        "store_ids": ("vs_1",),
        "top_k": 3,
        "sampling": {"max_tokens": 50},
    }
    return Question(**{**values, **changes})  # type: ignore[arg-type]


def ask(side: Answering, asked: Question) -> tuple[list[object], Answer]:
    async def collect() -> list[object]:
        return [event async for event in side.stream(asked)]

    events = asyncio.run(collect())
    assert isinstance(events[-1], Answer)
    return events, events[-1]


def test_a_grounded_answer_has_passages_first_then_text_then_citations() -> None:
    events, answer = ask(answering(FakeSlot(), Retrieval(2)), question("rag"))
    assert isinstance(events[0], Started)
    assert events[1:3] == ["You may return it ", "within 30 days [1]."]
    assert [citation.index for citation in answer.citations] == [1]
    assert answer.versions["weights"] == "base"
    assert answer.versions["index"] == {"vs_1": "col-1"}
    assert (answer.prompt_tokens, answer.completion_tokens) == (7, 2)
    assert set(answer.timings) == {"retrieval_ms", "first_token_ms", "total_ms"}


def test_base_mode_asks_the_model_without_passages() -> None:
    slot, retrieval = FakeSlot(), Retrieval(2)
    _, answer = ask(answering(slot, retrieval), question("base"))
    assert retrieval.queries == []
    assert answer.citations == ()
    assert slot.bodies[0]["model"] == "base-weights"


def test_a_grounded_question_that_finds_nothing_is_refused_without_the_model() -> None:
    slot = FakeSlot()
    _, answer = ask(answering(slot, Retrieval(0)), question("rag"))
    assert answer.text == REFUSAL
    assert slot.bodies == []


def test_a_question_far_from_its_passages_is_refused_without_the_model() -> None:
    slot = FakeSlot()
    _, answer = ask(answering(slot, Retrieval(2)), question("rag", min_answerability=0.5))
    assert (answer.text, answer.citations, slot.bodies, answer.ended_by) == (REFUSAL, (), [], "scores")
    assert answer.answerability is not None
    assert answer.answerability < 0.5


def test_what_does_not_fit_the_context_goes_oldest_history_first_then_last_passage() -> None:
    history = (Message("user", "Hello?"), Message("assistant", "Good day."))
    _, answer = ask(answering(FakeSlot(fits=1), Retrieval(3)), question("rag", history=history))
    assert len(answer.passages) == 1
    assert answer.text.startswith("You may return")


def test_a_question_longer_than_the_context_is_a_clear_400() -> None:
    with pytest.raises(ApiError, match="does not fit") as caught:
        ask(answering(FakeSlot(fits=0), Retrieval(2)), question("rag"))
    assert (caught.value.status, caught.value.code) == (400, "context_length_exceeded")


def test_a_slot_that_refuses_the_connection_is_tried_once_more() -> None:
    _, answer = ask(answering(FakeSlot(down=1), Retrieval(1)), question("rag"))
    assert answer.text.endswith("[1].")
    with pytest.raises(ApiError) as caught:
        ask(answering(FakeSlot(down=2), Retrieval(1)), question("rag"))
    assert (caught.value.status, caught.value.retry_after) == (503, 2)


def test_retrieval_down_is_503_unless_unsourced_answers_are_allowed() -> None:
    with pytest.raises(ApiError) as caught:
        ask(answering(FakeSlot(), Retrieval(1, up=False)), question("rag"))
    assert (caught.value.status, caught.value.code) == (503, "retrieval_unavailable")
    _, answer = ask(answering(FakeSlot(), Retrieval(1, up=False)), question("rag", answer_unsourced=True))
    assert answer.unsourced
    assert answer.citations == ()


def test_max_tokens_is_a_cap_and_not_a_reason_to_refuse() -> None:
    slot = CountingSlot()
    _, answer = ask(answering(slot, Retrieval(2)), question("rag", sampling={"max_tokens": 4096, "min_tokens": 3000}))
    assert answer.text == slot.text
    assert slot.bodies[0]["max_tokens"] < 2048
    assert slot.bodies[0]["min_tokens"] <= slot.bodies[0]["max_tokens"]


@pytest.mark.parametrize("turns", [40, 400, 1000])
def test_a_long_conversation_is_cut_in_one_step(turns: int) -> None:
    spoken = (Message("user", "And what about the other one, the red one with the basket in front?"),
              Message("assistant", "That one may be returned as well, within the same number of days."))  # fmt: skip
    slot = CountingSlot()
    _, answer = ask(answering(slot, Retrieval(2)), question("rag", history=spoken * (turns // 2)))
    assert answer.text == slot.text
    assert len(slot.calls) <= 3
    kept = len(slot.bodies[0]["messages"]) - 2
    assert kept == turns if turns < 100 else 60 < kept < 130  # as many as the context holds
    assert len(answer.passages) == 2


def test_a_conversation_in_two_languages_leaves_room_for_the_answer() -> None:
    english, chinese = "And what about the other one, the red one?", "那么另外一辆红色的自行车，前面有篮子的那一辆呢？"
    history = tuple(
        Message("user" if place % 2 == 0 else "assistant", english if place < 300 else chinese) for place in range(340)
    )
    slot = CountingSlot()
    asked = question("rag", history=history, sampling={"max_tokens": 400})
    _, answer = ask(answering(slot, Retrieval(2)), asked)
    (body,) = slot.bodies
    assert answer.text == slot.text
    assert slot.count(body) + body["max_tokens"] <= slot.CONTEXT
    assert body["max_tokens"] == 400
    assert len(body["messages"]) > 12  # no more went than had to
    assert len(slot.calls) <= 4


def test_an_answer_that_loops_ends_before_its_second_round_and_frees_the_model() -> None:
    said = "You may return it within 30 days [1]. "
    slot = CountingSlot(said * 100)
    events, answer = ask(answering(slot, Retrieval(2)), question("rag", sampling={"max_tokens": 1000}))
    assert answer.text == "".join(event for event in events if isinstance(event, str)) == said.strip()
    assert (answer.finish_reason, answer.ended_by) == ("stop", "repetition")
    assert slot.closed_after is not None
    assert slot.closed_after < 150
    assert answer.completion_tokens == slot.closed_after  # what it cost is counted, though the model was cut off
    assert [citation.supported for citation in answer.citations] == [True]


def test_who_asks_for_a_length_gets_it_loops_and_all() -> None:
    slot = CountingSlot("You may return it within 30 days [1]. " * 100)
    sampling = {"max_tokens": 300, "min_tokens": 300}
    _, answer = ask(answering(slot, Retrieval(2)), question("rag", sampling=sampling))
    assert (answer.completion_tokens, answer.finish_reason, answer.ended_by) == (300, "length", None)


def test_an_answer_that_no_passage_supports_says_so() -> None:
    slot = CountingSlot("Your share price is 1.25% of the company [2].")
    _, answer = ask(answering(slot, Retrieval(2)), question("rag"))
    assert answer.text == slot.text
    assert answer.grounded is False
    assert ask(answering(CountingSlot(), Retrieval(2)), question("rag"))[1].grounded is True
    assert ask(answering(CountingSlot(REFUSAL), Retrieval(2)), question("rag"))[1].grounded is None
    assert ask(answering(CountingSlot(), Retrieval(2)), question("base"))[1].grounded is None


def test_the_guard_refuses_an_unsupported_first_sentence_before_a_word_of_it_is_sent() -> None:
    slot = CountingSlot("Your share price is 1.25% of the company [2]. " + "It rises every year by much. " * 20)
    events, answer = ask(answering(slot, Retrieval(2)), question("rag", guarded=True))
    assert [event for event in events if isinstance(event, str)] == [REFUSAL]
    assert (answer.text, answer.finish_reason, answer.ended_by) == (REFUSAL, "stop", "guard")
    assert (answer.citations, answer.grounded) == ((), None)
    assert slot.closed_after is not None
    assert slot.closed_after < 15  # the rest is not waited for


def test_the_guard_lets_pass_what_is_supported_what_is_too_short_to_tell_and_a_refusal() -> None:
    for text in (
        "You may return a bike within 30 days [1]. Anything else is up to the weather.",
        "Yes. You may return a bike within 30 days.",
        "Yes.",
        REFUSAL,
    ):
        events, answer = ask(answering(CountingSlot(text), Retrieval(2)), question("rag", guarded=True))
        assert answer.text == "".join(event for event in events if isinstance(event, str)) == text
        assert answer.ended_by is None


def test_the_guard_leaves_modes_without_passages_alone() -> None:
    slot = CountingSlot("Your share price is 1.25% of the company.")
    assert ask(answering(slot, Retrieval(2)), question("base", guarded=True))[1].text == slot.text
    unsourced = question("rag", guarded=True, answer_unsourced=True)
    assert ask(answering(slot, Retrieval(2, up=False)), unsourced)[1].text == slot.text
