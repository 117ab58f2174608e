"""The whole chain, driven by nothing but the stock `openai` package."""

from __future__ import annotations

import base64
import contextlib
import csv
import json
import os
import re
import signal
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from harness.places import BRINDLE
from harness.platform import RunningPlatform
from services.kit.http import client as service_client
from services.kit.settings import Platform

QUESTION = "How many days do I have to return a bike I bought, under the refund policy in force in 2026?"
MODES = ("tandem/base", "tandem/rag", "tandem/tuned", "tandem/hybrid")


@pytest.fixture
def client(platform: RunningPlatform) -> OpenAI:
    return platform.openai()


def ask(client: OpenAI, model: str, question: str = QUESTION, **more: Any) -> Any:
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": question}], **more)


def test_before_tuning_only_base_and_rag_are_served(client: OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    if "tandem/hybrid" in names:
        pytest.skip("another test has tuned already")
    assert names == ["tandem/base", "tandem/rag"]
    with pytest.raises(openai.NotFoundError, match="tandem train"):
        ask(client, "tandem/hybrid")


def test_an_uploaded_document_is_found_and_cited(client: OpenAI, platform: RunningPlatform) -> None:
    store = client.vector_stores.create(name="notices")
    text = "# Ferry notice\n\nThe ferry to Quillhaven leaves Brindle pier at 06:40 every Tuesday."
    file = client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=("ferry.md", text.encode()))
    assert file.status == "completed"
    found = client.vector_stores.search(store.id, query="When does the Quillhaven ferry leave?")
    assert [entry.filename for entry in found.data] == ["ferry.md"]
    answer = ask(
        client, "tandem/rag", "When does the Quillhaven ferry leave?", extra_body={"vector_store_ids": [store.id]}
    )
    assert answer.versions["index"].keys() == {store.id}
    assert [passage["filename"] for passage in answer.passages] == ["ferry.md"]
    client.vector_stores.files.delete(file.id, vector_store_id=store.id)
    assert client.vector_stores.search(store.id, query="When does the Quillhaven ferry leave?").data == []
    client.vector_stores.delete(store.id)


def test_every_mode_answers_with_timings_and_versions(client: OpenAI, tuned: str) -> None:
    answers = {model: ask(client, model) for model in MODES}
    for model, answer in answers.items():
        assert answer.model == model
        assert answer.choices[0].message.content.strip()
        assert answer.choices[0].finish_reason in ("stop", "length")
        assert answer.timings["total_ms"] >= answer.timings["first_token_ms"] > 0
        assert answer.usage.completion_tokens > 0
    assert answers["tandem/base"].versions["weights"] == answers["tandem/rag"].versions["weights"] == "base"
    assert answers["tandem/tuned"].versions["weights"] == answers["tandem/hybrid"].versions["weights"] != "base"
    assert answers["tandem/base"].passages == answers["tandem/tuned"].passages == []


def test_hybrid_cites_documents_that_answer_with_spans_that_fit(client: OpenAI, tuned: str) -> None:
    rows = [json.loads(line) for line in (BRINDLE / "questions.jsonl").read_text(encoding="utf-8").splitlines()[:8]]
    right = 0
    for row in rows:
        message = ask(client, "tandem/hybrid", row["question"]).choices[0].message
        supported = [citation for citation in message.citations if citation["supported"]]
        right += row["document"] in [citation["filename"] for citation in supported]
        for citation, annotation in zip(supported, message.annotations, strict=True):
            span = message.content[annotation.url_citation.start_index : annotation.url_citation.end_index]
            assert span == citation["text"]
            assert annotation.url_citation.title == citation["title"]
    assert right >= 3, f"the right document is cited for {right} of {len(rows)} questions"


def test_a_stream_gives_the_same_answer_and_citations(client: OpenAI, tuned: str) -> None:
    whole = ask(client, "tandem/hybrid")
    *chunks, usage = ask(client, "tandem/hybrid", stream=True, stream_options={"include_usage": True})
    assert all(len(chunk.choices) == 1 for chunk in chunks)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [passage["filename"] for passage in chunks[0].passages] == [p["filename"] for p in whole.passages]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    last = chunks[-1]
    assert last.choices[0].finish_reason == whole.choices[0].finish_reason
    assert last.choices[0].delta.citations == whole.choices[0].message.citations
    assert (usage.choices, usage.usage.completion_tokens) == ([], whole.usage.completion_tokens)
    assert last.timings["first_token_ms"] > 0


class Term(BaseModel):
    answer: str
    days: int


def test_an_answer_keeps_to_a_schema_and_tells_how_sure_each_token_was(
    client: OpenAI, platform: RunningPlatform
) -> None:
    question: Any = [{"role": "user", "content": QUESTION}]
    asked: Any = {"model": "tandem/rag", "messages": question, "logprobs": True, "top_logprobs": 2}
    choice: Any = client.chat.completions.parse(response_format=Term, **asked).choices[0]
    assert isinstance(choice.message.parsed, Term)
    assert "[" not in choice.message.content
    assert {citation["origin"] for citation in choice.message.citations} <= {"server"}
    tokens = choice.logprobs.content
    assert b"".join(bytes(token.bytes) for token in tokens).decode() == choice.message.content
    assert {len(token.top_logprobs) for token in tokens} == {2}
    response: Any = client.responses.parse(model="tandem/base", input=QUESTION, text_format=Term)
    assert isinstance(response.output_parsed, Term)
    biased = ask(client, "tandem/base", max_tokens=3, logprobs=True, extra_body={"logit_bias": {"28": 100}})
    assert len({token.token for token in biased.choices[0].logprobs.content}) == 1
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}}
    for named, wrong in {"response_format": schema, "logit_bias": {"99999999": 1}}.items():
        with pytest.raises(openai.BadRequestError, match=f"{named}: The model refused"):
            ask(client, "tandem/base", extra_body={named: wrong})
    assert ask(client, "tandem/base", max_tokens=5).choices[0].message.content


def test_a_response_searches_cites_streams_and_goes_on(client: OpenAI, platform: RunningPlatform) -> None:
    tool: Any = {"type": "file_search", "vector_store_ids": [platform.default_store()]}
    results: Any = ["file_search_call.results"]
    first: Any = client.responses.create(model="tandem/rag", input=QUESTION, tools=[tool], include=results)
    call, message = first.output
    assert (call.type, call.queries, message.type) == ("file_search_call", [QUESTION], "message")
    assert call.results[0].filename == first.passages[0]["filename"]
    supported = [citation for citation in message.content[0].citations if citation["supported"]]
    cited = [(citation["file_id"], citation["end_index"]) for citation in supported]
    assert [(one.file_id, one.index) for one in message.content[0].annotations] == cited
    assert first.output_text.strip()
    assert client.responses.retrieve(first.id).to_dict() == first.to_dict()
    events = list(
        client.responses.create(model="tandem/rag", input="And in 2024?", previous_response_id=first.id, stream=True)
    )
    last: Any = events[-1]
    assert last.type in ("response.completed", "response.incomplete")
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == (
        last.response.output_text
    )
    assert last.response.output[0].queries == [f"{QUESTION} And in 2024?"]
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)


def test_the_tuned_version_answers_by_its_own_name(client: OpenAI, platform: RunningPlatform, tuned: str) -> None:
    assert tuned in [model.id for model in client.models.list()]
    alone = ask(client, tuned)
    grounded = ask(client, tuned, extra_body={"vector_store_ids": [platform.default_store()]})
    assert alone.model == grounded.model == tuned
    assert alone.passages == []
    assert grounded.passages


def test_the_fine_tuning_job_explains_itself_and_the_gate_its_verdict(client: OpenAI, tuning_job: str) -> None:
    job: Any = client.fine_tuning.jobs.retrieve(tuning_job)
    assert job.status == "succeeded"
    assert job.fine_tuned_model.startswith("ft:smollm2-135m-instruct:brindle:")
    assert job.trained_tokens > 1000
    messages = [event.message for event in client.fine_tuning.jobs.list_events(job.id, limit=100)]
    verdict = "is live" if job.live else "is not live"
    assert any(verdict in message for message in messages)
    assert any("held-out loss fell" in message for message in messages)
    assert any("stops by itself" in message for message in messages)


def test_the_fine_tuning_job_leaves_its_metrics_and_checkpoints(client: OpenAI, tuning_job: str) -> None:
    job = client.fine_tuning.jobs.retrieve(tuning_job)
    (results,) = [client.files.retrieve(file_id) for file_id in job.result_files]
    assert (results.purpose, results.filename) == ("fine-tune-results", "step_metrics.csv")
    steps = list(csv.DictReader(client.files.content(results.id).text.splitlines()))
    assert [int(step["step"]) for step in steps] == list(range(1, len(steps) + 1))
    assert float(steps[-1]["train_loss"]) < float(steps[0]["train_loss"])
    assert float(steps[-1]["full_valid_loss"]) > 0
    checkpoints = client.fine_tuning.jobs.checkpoints.list(job.id).data
    assert checkpoints[0].step_number == len(steps)
    assert [one.step_number for one in checkpoints[1:]] == list(range(len(steps) // 25 * 25, 0, -25))
    measured = {int(step["step"]): step["valid_loss"] for step in steps}
    for one in checkpoints:
        assert one.metrics.valid_loss == pytest.approx(float(measured[one.step_number]), abs=1e-4)


def wait_until(client: OpenAI, job_id: str, look: Callable[[Any], bool], seconds: float = 240.0) -> Any:
    """The job, once it looks so."""
    deadline = time.monotonic() + seconds
    while not look(job := client.fine_tuning.jobs.retrieve(job_id)):
        assert time.monotonic() < deadline, f"after {seconds} s: {job}"
        time.sleep(0.5)
    return job


def wait_until_gone(job_id: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while process_of(job_id) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert process_of(job_id) == ""


def step_of(job: Any) -> int:
    found = re.search(r"step (\d+) of", job.stage)
    return int(found[1]) if found else 0


@pytest.mark.long
def test_a_job_is_paused_resumed_killed_and_cancelled_and_leaves_nothing(
    client: OpenAI, platform: RunningPlatform, examples: Path
) -> None:
    with examples.open("rb") as data:
        file = client.files.create(file=data, purpose="fine-tune")
    with platform.http() as http:
        before = http.get("/v1/versions").json()["data"]
    job = client.fine_tuning.jobs.create(model="smollm2-135m-instruct", training_file=file.id)
    wait_until(client, job.id, lambda one: step_of(one) >= 2)
    client.fine_tuning.jobs.pause(job.id)
    wait_until(client, job.id, lambda one: one.status == "paused", seconds=90)
    wait_until_gone(job.id)
    (kept,) = client.fine_tuning.jobs.checkpoints.list(job.id).data
    client.fine_tuning.jobs.resume(job.id)
    wait_until(client, job.id, lambda one: step_of(one) > kept.step_number)
    os.kill(int(process_of(job.id)), signal.SIGKILL)
    wait_until(client, job.id, lambda one: one.status == "queued" and "SIGKILL" in one.reason, seconds=60)
    wait_until(client, job.id, lambda one: one.status == "running" and step_of(one) > kept.step_number)
    messages = [event.message for event in client.fine_tuning.jobs.list_events(job.id, limit=100)]
    assert any("Tried again" in message for message in messages)
    client.fine_tuning.jobs.cancel(job.id)
    wait_until(client, job.id, lambda one: one.status == "cancelled", seconds=60)
    wait_until_gone(job.id)
    with platform.http() as http:
        assert http.get("/v1/versions").json()["data"] == before
    deadline = time.monotonic() + 90  # where no process had it any more, the next minute's tick clears up
    while (platform.home / "runs" / job.id).exists() and time.monotonic() < deadline:
        time.sleep(1.0)
    assert not (platform.home / "runs" / job.id).exists()
    assert ask(client, "tandem/rag").choices[0].message.content


def process_of(job_id: str) -> str:
    """Process ids of a job's training process, one a line."""
    found = subprocess.run(["pgrep", "-f", f"services.worker.fine_tuning.run {job_id}"], capture_output=True, text=True)
    return found.stdout


def test_a_client_that_disconnects_frees_the_model(platform: RunningPlatform) -> None:
    services = Platform(home=platform.home)
    with service_client(services.generation_url, services.service_token) as generation:
        route = generation.get("/routing").raise_for_status().json()["base"]
    body = {"model": "tandem/base", "messages": [{"role": "user", "content": "Count."}], "max_tokens": 1500}
    with service_client(route["address"], "") as slot:
        for stream in (True, False):
            with platform.http() as http, contextlib.suppress(httpx.ReadTimeout):
                asked = {**body, "min_tokens": 1500, "stream": stream}
                with http.stream("POST", "/v1/chat/completions", json=asked, timeout=3.0) as response:
                    next(response.iter_lines())
            deadline = time.monotonic() + 10
            while running(slot) and time.monotonic() < deadline:
                time.sleep(0.2)
            assert running(slot) == 0, stream


def running(slot: httpx.Client) -> float:
    """How many requests vLLM has under way."""
    lines = slot.get("/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("vllm:num_requests_running"))


def test_a_follow_up_is_retrieved_for_in_its_context(client: OpenAI, platform: RunningPlatform) -> None:
    history: list[Any] = [
        {"role": "user", "content": "What does the child seat manual say about the greatest weight of a child?"},
        {"role": "assistant", "content": "It states a greatest weight."},
        {"role": "user", "content": "And from what age?"},
    ]
    answer: Any = client.chat.completions.create(model="tandem/rag", messages=history)
    assert any("child" in passage["filename"] for passage in answer.passages)


def test_feedback_stays_with_its_answer(client: OpenAI, platform: RunningPlatform) -> None:
    answer = ask(client, "tandem/rag")
    with platform.http() as http:
        body = {"answer_id": answer.id, "rating": "down", "reason": "wrong_tone", "correction": "You have 30 days."}
        assert http.post("/v1/feedback", json=body).status_code == 200
        kept = http.get(f"/v1/answers/{answer.id}").raise_for_status().json()
    assert kept["question"] == QUESTION
    assert kept["answer"] == answer.choices[0].message.content
    assert kept["messages"][-1]["content"].endswith(QUESTION)


def test_embeddings_come_in_both_encodings(client: OpenAI) -> None:
    texts = ["a bike", "a bicycle", "income tax"]
    made = client.embeddings.create(model="all-minilm-l6-v2", input=texts, encoding_format="float")
    bike, bicycle, tax = [entry.embedding for entry in made.data]
    assert len(bike) == 384
    assert dot(bike, bicycle) > dot(bike, tax)
    raw: Any = client.embeddings.with_raw_response.create(model="m", input="a bike", encoding_format="base64")
    packed = base64.b64decode(raw.http_response.json()["data"][0]["embedding"])
    assert struct.unpack("<384f", packed)[:3] == pytest.approx(bike[:3], abs=1e-3)


def dot(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


def test_the_command_does_the_same(platform: RunningPlatform, tmp_path: Path) -> None:
    note = tmp_path / "lost-property.md"
    note.write_text("# Lost property\n\nLost gloves are kept in the Marlow Street cellar for 93 days.")
    assert platform.json("ingest", str(note))
    again = platform.json("ingest", str(note))
    found = platform.json("search", "Where are lost gloves kept?")
    assert "lost-property.md" in str(found)
    assert again != found
    assert platform.json("ask", "Where are lost gloves kept?", "--mode", "rag")
    assert platform.json("status")
