"""What reaches the client where something behind the answer fails, or takes its time."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from retrieval.answers.grounding import REFUSAL
from services.command.verbs.asking import answer_in_words
from services.gateway.answering import draft
from services.gateway.answering.answering import Answering
from services.gateway.upstream.retrieval import RetrievalClient
from services.gateway.upstream.slots import Slots
from services.kit.events import read_events
from services.kit.remarks import ENDED_BY, UNGROUNDED
from services.kit.settings import Platform
from tests.gateway_fakes import PIECES, Gateway
from tests.unit.gateway.answering.test_answering import TABLE, CountingSlot, Retrieval, ask, question

QUESTION = {"model": "tandem/rag", "messages": [{"role": "user", "content": "How long may I return it?"}]}


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path)


def events(gateway: Gateway, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    with gateway.http().stream("POST", path, json={**body, "stream": True}) as response:
        read = read_events(response)  # type: ignore[arg-type]  # the test client's response is httpx2's, alike
        return [json.loads(data) for data in read if data != "[DONE]"]


def without_a_journal(gateway: Gateway) -> None:
    with gateway.sessions.begin() as session:
        session.execute(text("DROP TABLE turns"))


def test_a_finished_answer_is_delivered_though_the_journal_cannot_be_written(gateway: Gateway) -> None:
    without_a_journal(gateway)
    response = gateway.http().post("/v1/chat/completions", json=QUESTION)
    assert response.status_code == 200
    assert response.json()["choices"][0]["message"]["content"] == "".join(PIECES)
    last = events(gateway, "/v1/chat/completions", QUESTION)[-1]
    assert last["choices"][0]["finish_reason"] == "stop"
    asked = {"model": "tandem/rag", "input": "How long may I return it?"}
    assert gateway.http().post("/v1/responses", json=asked).json()["status"] == "completed"


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/chat/completions", QUESTION), ("/v1/responses", {"model": "tandem/rag", "input": "How long?"})],
)
def test_any_fault_within_a_stream_ends_in_an_error_event(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, Any]
) -> None:
    def broken(*_arguments: object) -> list[object]:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(draft, "cite", broken)
    last = events(gateway, path, body)[-1]
    told = json.dumps(last)
    assert "An internal error happened" in told
    assert "a fault of ours" not in told


@pytest.mark.parametrize(("part", "name"), [("canaries", "answered"), ("limits", "spend")])
def test_a_finished_answer_is_delivered_though_it_cannot_be_counted(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, part: str, name: str
) -> None:
    async def broken(*_arguments: object) -> None:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(getattr(gateway.parts.deliveries, part), name, broken)
    response = gateway.http().post("/v1/chat/completions", json=QUESTION)
    assert response.status_code == 200
    assert response.json()["choices"][0]["message"]["content"] == "".join(PIECES)
    assert events(gateway, "/v1/chat/completions", QUESTION)[-1]["choices"][0]["finish_reason"] == "stop"


def test_a_failed_answer_says_why_though_the_failure_cannot_be_counted(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_arguments: object) -> None:
        raise ZeroDivisionError("a fault of ours")

    gateway.model.breaks = True
    monkeypatch.setattr(gateway.parts.deliveries.canaries, "failed", broken)
    assert gateway.http().post("/v1/chat/completions", json=QUESTION).status_code == 502


@pytest.mark.parametrize("told", [["m"], {"count": "long", "max_model_len": 9}, {"count": {"is": 9}}, None])
def test_a_slot_that_counts_nonsense_answers_all_the_same(told: object) -> None:
    class Odd(CountingSlot):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            if request.url.path == "/tokenize":
                return httpx.Response(200, json=told)
            return super().__call__(request)

    slot = Odd()
    _, answer = ask(Answering(*_parts(slot, Retrieval(3))), question("rag"))
    assert answer.text == slot.text


def test_the_check_of_a_long_answer_holds_up_no_other_request() -> None:
    """Two hundred sentences against fifty passages: the event loop goes on meanwhile."""
    slot, gaps = CountingSlot(), list[float]()
    slot.CONTEXT = 10**6
    slot.text = "".join(f"Customers may return bike number {n} within {n} days of delivery. " for n in range(200))

    async def tick() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.005)
            gaps.append(time.perf_counter() - began)

    async def run() -> float:
        http = [
            httpx.AsyncClient(transport=httpx.MockTransport(side), base_url="http://x")
            for side in (lambda _request: httpx.Response(200, content=TABLE.model_dump_json()), slot, Retrieval(50))
        ]
        slots = Slots(http[0], refresh=1.0, timeout=5.0, connect=lambda _address: http[1])
        ticking = asyncio.create_task(tick())
        asked = question("rag", top_k=50, sampling={"max_tokens": 10**5})
        checked = 0.0
        async for event in Answering(RetrievalClient(http[2]), slots).stream(asked):
            checked = time.perf_counter() if isinstance(event, str) else time.perf_counter() - checked
            if isinstance(event, str):
                gaps.clear()  # only the time after the last word counts
        ticking.cancel()
        return checked

    took = asyncio.run(run())
    assert took > 0.05  # there was something to hold up
    assert len(gaps) > 10  # the loop went round all the while; one round may be long, where rubbish is collected


def test_passages_that_the_prompt_lost_are_not_cited() -> None:
    slot = CountingSlot("Customers may return a bike within 30 days of delivery [3].")
    slot.CONTEXT = 105
    _, answer = ask(Answering(*_parts(slot, Retrieval(3))), question("rag", sampling={"max_tokens": 10}))
    assert len(answer.passages) < 3
    assert answer.citations
    assert all(citation.index <= len(answer.passages) for citation in answer.citations)


def _parts(slot: CountingSlot, retrieval: Retrieval) -> tuple[RetrievalClient, Slots]:
    http = [httpx.AsyncClient(transport=httpx.MockTransport(side), base_url="http://x") for side in (slot, retrieval)]
    table = httpx.AsyncClient(
        transport=httpx.MockTransport(lambda _request: httpx.Response(200, content=TABLE.model_dump_json())),
        base_url="http://x",
    )
    return RetrievalClient(http[1]), Slots(table, refresh=1.0, timeout=5.0, connect=lambda _address: http[0])


def test_every_shape_says_whether_a_passage_supports_the_answer_and_who_ended_it(gateway: Gateway) -> None:
    asked = {"model": "tandem/rag", "input": "How long?"}
    for pieces, grounded, ended_by in (
        (PIECES, True, None),
        (("Your share price ", "is 1.25% of the company [2]."), False, None),
        (("You may return it within 30 days. ",) * 40, True, "repetition"),
    ):
        gateway.model.pieces = pieces
        whole = gateway.http().post("/v1/chat/completions", json=QUESTION).json()
        streamed = events(gateway, "/v1/chat/completions", QUESTION)[-1]
        response = gateway.http().post("/v1/responses", json=asked).json()
        for body in (whole, streamed, response):
            assert (body["grounded"], body.get("ended_by")) == (grounded, ended_by)
        assert whole["choices"][0]["finish_reason"] == "stop"
        words = answer_in_words(whole)
        assert (UNGROUNDED in words) is (grounded is False)
        assert (ENDED_BY["repetition"] in words) is (ended_by == "repetition")


@pytest.mark.parametrize("guarded", [True, False])
def test_the_setting_guard_reaches_the_answer(gateway: Gateway, guarded: bool) -> None:
    gateway.set(guard="first_sentence" if guarded else "off")
    gateway.model.pieces = ("Your share price ", "is 1.25% of the company [2].")
    answer = gateway.http().post("/v1/chat/completions", json=QUESTION).json()
    assert (answer["choices"][0]["message"]["content"] == REFUSAL) is guarded
    assert answer.get("ended_by") == ("guard" if guarded else None)


def test_the_guard_is_on_for_the_packaged_model_unless_it_is_set(tmp_path: Path) -> None:
    assert Platform(home=tmp_path).guarded
    assert not Platform(home=tmp_path, guard="off").guarded
    assert not Platform(home=tmp_path, base_model="some/other-7b").guarded
    assert Platform(home=tmp_path, base_model="some/other-7b", guard="first_sentence").guarded
