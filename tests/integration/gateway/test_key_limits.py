"""The limits of a key, counted by a real broker: an ingest and whoever waits for it leave questions theirs."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from openai import OpenAI

from services.gateway.http.callers import Caller
from services.gateway.http.limits import Limits
from services.kit.queue import redis_client
from tests.integration.gateway.counting_broker import counting_broker
from tests.knowledge import Knowledge, knowledge

REQUESTS, READS = 5, 7
MOST = max(REQUESTS, READS)
POLLS = 50
ASKED: Any = [{"role": "user", "content": "When is the gate code changed?"}]


@pytest.fixture(scope="module")
def broker_url() -> Iterator[str]:
    with counting_broker() as url:
        yield url


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, broker_url: str) -> Iterator[Knowledge]:
    home = tmp_path_factory.mktemp("limits")
    with pytest.MonkeyPatch.context() as patch, knowledge(home, patch, redis_client(broker_url)) as running:
        yield running


@pytest.fixture
def workspace() -> str:
    return f"w-{uuid.uuid4().hex}"


@pytest.fixture
def store(desk: Knowledge, workspace: str) -> str:
    return desk.client(workspace).vector_stores.create().id


@pytest.fixture
def client(desk: Knowledge, workspace: str) -> OpenAI:
    """A client whose key has five requests a minute."""
    return desk.client(workspace, requests=REQUESTS)


def ask(client: OpenAI, store: str) -> Any:
    """A question that is answered: the raw response."""
    extra = {"vector_store_ids": [store]}
    create = client.chat.completions.with_raw_response.create
    return create(model="tandem/rag", messages=ASKED, extra_body=extra)


def refused(call: Any, *arguments: Any) -> openai.RateLimitError:
    """The 429 that comes once a limit is used up, a new minute between or not."""
    with pytest.raises(openai.RateLimitError) as caught:
        _many_times(call, *arguments)
    return caught.value


def _many_times(call: Any, *arguments: Any) -> None:
    for _ in range(2 * MOST + 1):
        call(*arguments)


def test_an_ingest_that_is_polled_fifty_times_leaves_chat_its_requests(
    desk: Knowledge, client: OpenAI, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, polls = desk.gateway_parts.batches.counts, list[str]()

    def counted(batch: Any) -> Any:
        polls.append(batch.id)
        return counts(batch)

    monkeypatch.setattr(desk.gateway_parts.batches, "counts", counted)
    upload = client.vector_stores.file_batches.upload_and_poll
    file = ("gate.md", b"# Gate\n\nThe gate code is changed every Monday.")
    with ThreadPoolExecutor(1) as pool:
        with desk.worker.hold():
            batch = pool.submit(upload, store, files=[file], poll_interval_ms=10)
            while len(polls) <= POLLS and not batch.done():
                time.sleep(0.01)
        assert batch.result(60.0).file_counts.completed == 1
    assert len(polls) > POLLS
    for _ in range(REQUESTS):
        assert ask(client, store).status_code == 200


def test_a_fine_tuning_that_is_polled_fifty_times_leaves_chat_its_requests(client: OpenAI, store: str) -> None:
    turns = [[{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": f"It is {n}."}] for n in range(12)]
    data = "\n".join(json.dumps({"messages": messages}) for messages in turns).encode()
    file = client.files.create(file=("examples.jsonl", data), purpose="fine-tune").id
    job = client.fine_tuning.jobs.create(model="base", training_file=file).id
    for _ in range(POLLS):
        assert client.fine_tuning.jobs.retrieve(job).status == "queued"
        client.fine_tuning.jobs.list_events(job)
    assert ask(client, store).status_code == 200


def test_each_limit_that_is_used_up_says_which_and_leaves_the_others(client: OpenAI, store: str) -> None:
    writes = refused(client.vector_stores.create)
    assert "5 writes a minute" in writes.message
    assert 1 <= int(writes.response.headers["retry-after"]) <= 60
    requests = refused(ask, client, store)
    assert "5 requests a minute" in requests.message
    assert 1 <= int(requests.response.headers["retry-after"]) <= 60
    assert client.vector_stores.retrieve(store).id == store


def test_searches_and_embeddings_count_as_questions_do(client: OpenAI, store: str) -> None:
    for call in (
        lambda: client.vector_stores.search(store, query="gate"),
        lambda: client.embeddings.create(model="any", input="gate"),
        lambda: client.responses.create(model="tandem/rag", input="Which gate?"),
    ):
        assert "requests a minute" in refused(call).message


def test_reads_have_a_bound_of_their_own(
    desk: Knowledge, client: OpenAI, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk.gateway_parts.limits, "_reads_per_minute", READS)
    assert "7 reads a minute" in refused(client.models.list).message
    assert ask(client, store).status_code == 200


def test_tokens_that_are_used_up_stop_questions_and_no_polls(desk: Knowledge, workspace: str, store: str) -> None:
    client = desk.client(workspace, tokens=1)
    caller = asyncio.run(desk.gateway_parts.keys.caller(client.api_key))
    desk.http.portal.call(desk.gateway_parts.limits.spend, caller, 10)  # type: ignore[union-attr]
    desk.http.portal.call(desk.gateway_parts.limits.spend, caller, 10)  # type: ignore[union-attr]
    with pytest.raises(openai.RateLimitError, match="1 tokens a minute"):
        ask(client, store)
    assert client.vector_stores.retrieve(store).id == store


def test_answers_say_in_openais_headers_what_is_left(desk: Knowledge, client: OpenAI, store: str) -> None:
    first, second = ask(client, store).headers, ask(client, store).headers
    assert first["x-ratelimit-limit-requests"] == "5"
    assert first["x-ratelimit-limit-tokens"] == "1000000"
    left = [int(one["x-ratelimit-remaining-requests"]) for one in (first, second)]
    assert left in ([4, 3], [4, 4])  # the latter where a minute has ended between
    assert first["x-ratelimit-reset-requests"].endswith("s")
    assert refused(ask, client, store).response.headers["x-ratelimit-remaining-requests"] == "0"
    asked = {"model": "tandem/rag", "messages": ASKED, "stream": True}
    headers = {"Authorization": f"Bearer {desk.key('elsewhere')}"}
    assert "x-ratelimit-remaining-tokens" in desk.http.post("/v1/chat/completions", json=asked, headers=headers).headers
    assert "x-ratelimit-limit-requests" not in client.models.with_raw_response.list().headers


def test_replicas_admit_together_no_more_than_the_limit(broker_url: str) -> None:
    caller = Caller(uuid.uuid4().hex, "w", frozenset({"ask"}), requests_per_minute=10, tokens_per_minute=100)

    async def storm() -> list[bool]:
        replicas = [Limits(redis_client(broker_url), 100) for _ in range(3)]
        standings = await asyncio.gather(*(one.admit(caller, "requests") for one in replicas for _ in range(10)))
        return [standing.refusal is None for standing in standings]

    assert asyncio.run(storm()).count(True) in (10, 20)  # 20 where a minute has ended meanwhile
