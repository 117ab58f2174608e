"""What keys of each scope see and may do, beside what a whole route needs: jobs, files, answers, weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from services.contracts.jobs import TASKS
from services.database.tables import ApiKey, Job
from services.domain.jobs import new_job
from tests.gateway_fakes import Gateway
from tests.support.feedback_desk import FeedbackDesk
from tests.version_desk import VersionDesk

KNOWLEDGE = {"index_file", "reindex", "reconcile", "sync_source"}
VOICE = {"fine_tuning", "embedder_training", "examine_data_set"}
EXAMPLE = [{"role": "user", "content": "How long?"}, {"role": "assistant", "content": "It is 30 days."}]
LINES = json.dumps({"messages": EXAMPLE}).encode() + b"\n"


def message(answer: Any) -> str:
    return str(answer.json()["error"]["message"])


@dataclass
class Desk:
    """A gateway with a job of each kind, and a client for each set of scopes."""

    gateway: Gateway
    jobs: dict[str, str]

    def http(self, *scopes: str) -> TestClient:
        return self.gateway.http(self.gateway.key(*scopes))

    def all(self) -> TestClient:
        return self.http("ask", "knowledge", "voice", "operate")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    gateway = Gateway(tmp_path)
    jobs = {kind: new_job("one", kind, {"store_id": "s", "file_id": "f", "revision": 1}, 60.0) for kind in TASKS}  # type: ignore[arg-type]
    with gateway.sessions.begin() as session:
        session.add_all(jobs.values())
        return Desk(gateway, {kind: job.id for kind, job in jobs.items()})


@pytest.mark.parametrize(
    ("scopes", "seen"),
    [(["knowledge"], KNOWLEDGE), (["voice"], VOICE), (["operate"], KNOWLEDGE | VOICE), (["ask", "voice"], VOICE)],
)
def test_a_key_sees_the_jobs_of_its_own_kinds_and_to_it_there_are_no_others(
    desk: Desk, scopes: list[str], seen: set[str]
) -> None:
    http = desk.http(*scopes)
    assert {job["kind"] for job in http.get("/v1/jobs").json()["data"]} == seen
    for kind, job_id in desk.jobs.items():
        for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/pause"), ("POST", "/resume")):
            answer = http.request(method, f"/v1/jobs/{job_id}{path}")
            absent = http.request(method, f"/v1/jobs/job-absent{path}")
            assert absent.status_code == 404
            assert (answer.text.replace(job_id, "job-absent") == absent.text) == (kind not in seen), (kind, path)


def test_a_job_of_another_scope_is_not_cancelled(desk: Desk) -> None:
    knowledge, voice, operate = desk.http("knowledge"), desk.http("voice"), desk.http("operate")
    reindex, tuning = desk.jobs["reindex"], desk.jobs["fine_tuning"]
    assert voice.post(f"/v1/jobs/{reindex}/cancel").status_code == 404
    assert knowledge.post(f"/v1/jobs/{tuning}/cancel").status_code == 404
    with desk.gateway.sessions() as session:
        assert {session.get_one(Job, one).cancel_requested for one in (reindex, tuning)} == {False}
    assert voice.post(f"/v1/jobs/{tuning}/cancel").json()["status"] == "cancelled"
    assert operate.post(f"/v1/jobs/{reindex}/cancel").json()["status"] == "cancelled"


def upload(http: TestClient, purpose: str, content: bytes = LINES) -> Any:
    return http.post("/v1/files", files={"file": ("a.jsonl", content)}, data={"purpose": purpose})


def test_voice_uploads_training_files_and_knowledge_documents(desk: Desk) -> None:
    voice, knowledge = desk.http("voice"), desk.http("knowledge")
    assert upload(voice, "fine-tune").status_code == 200
    assert upload(knowledge, "assistants").status_code == upload(knowledge, "user_data").status_code == 200
    refused = upload(voice, "assistants")
    assert (refused.status_code, "'knowledge'" in message(refused)) == (403, True)
    refused = upload(knowledge, "fine-tune")
    assert (refused.status_code, "'voice'" in message(refused)) == (403, True)
    assert [file["purpose"] for file in voice.get("/v1/files").json()["data"]] == ["fine-tune"]
    assert len(knowledge.get("/v1/files").json()["data"]) == 2
    assert len(desk.all().get("/v1/files").json()["data"]) == 3


def test_files_of_the_other_scope_are_not_there(desk: Desk) -> None:
    voice, knowledge = desk.http("voice"), desk.http("knowledge")
    training, document = upload(voice, "fine-tune").json()["id"], upload(knowledge, "assistants").json()["id"]
    for http, theirs in ((voice, document), (knowledge, training)):
        for method, path in (("GET", ""), ("GET", "/content"), ("GET", "/lineage"), ("DELETE", "")):
            answer = http.request(method, f"/v1/files/{theirs}{path}")
            absent = http.request(method, f"/v1/files/file-absent{path}")
            assert (answer.status_code, answer.text.replace(theirs, "file-absent")) == (404, absent.text)
        assert http.get("/v1/files", params={"after": theirs}).status_code == 404
    assert knowledge.get("/v1/files", params={"purpose": "fine-tune"}).json()["data"] == []
    assert voice.delete(f"/v1/files/{training}").json()["deleted"] is True
    assert knowledge.delete(f"/v1/files/{document}").json()["deleted"] is True


def test_no_other_route_leads_to_a_file_of_the_other_scope(desk: Desk) -> None:
    voice, knowledge = desk.http("voice"), desk.http("knowledge")
    training, document = upload(voice, "fine-tune").json()["id"], upload(knowledge, "assistants").json()["id"]
    stores, times = "/v1/vector_stores", {"name": "nightly", "schedule": {"cron": "0 3 * * *"}}
    tune = {"model": "default", "training_file": training}
    calls: list[tuple[TestClient, str, dict[str, Any]]] = [
        (knowledge, stores, {"file_ids": [training]}),
        (knowledge, f"{stores}/vs_one/files", {"file_id": training}),
        (knowledge, f"{stores}/vs_one/file_batches", {"file_ids": [training]}),
        (voice, "/v1/examples/import", {"file_id": document}),
        (voice, "/v1/data_sets", {"file_id": document}),
        (voice, "/v1/fine_tuning/jobs", {**tune, "training_file": document}),
        (voice, "/v1/fine_tuning/jobs", {**tune, "validation_file": document}),
        (voice, "/v1/schedules", {**times, "training_file": document}),
    ]
    for http, path, body in calls:
        answer = http.post(path, json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "file_not_found"), path
        assert answer.json()["error"]["param"] in [*body, "file_id"], path


def test_voice_alone_trains_from_upload_to_job(desk: Desk) -> None:
    http = desk.http("voice")
    lines = b"".join(LINES.replace(b"How long", f"{n}: how long".encode()) for n in range(12))
    lines = b"".join(line.replace(b"30", str(n).encode()) + b"\n" for n, line in enumerate(lines.splitlines()))
    file = upload(http, "fine-tune", lines).json()["id"]
    made = http.post("/v1/fine_tuning/jobs", json={"model": "default", "training_file": file})
    assert made.status_code == 200, made.text
    assert http.post("/v1/data_sets", json={"file_id": file, "use": "evaluation"}).status_code == 200
    assert http.get(f"/v1/jobs/{made.json()['id']}").json()["kind"] == "fine_tuning"


@pytest.fixture
def answers(tmp_path: Path) -> FeedbackDesk:
    """A desk where the keys `one` and `second` only ask."""
    desk = FeedbackDesk(tmp_path)
    with desk.sessions.begin() as session:
        for name in ("one", "second"):
            session.get_one(ApiKey, f"key-{name}").scopes = ["ask"]
    return desk


ANSWER = "/v1/answers/chat-one"


def test_who_only_asks_deletes_an_answer_with_the_own_feedback(answers: FeedbackDesk) -> None:
    answers.rate()
    assert answers.http().delete(ANSWER).json()["deleted"] is True


@pytest.mark.parametrize("path", [ANSWER, "/v1/responses/chat-one"])
def test_feedback_of_others_is_not_deleted_by_who_only_asks(answers: FeedbackDesk, path: str) -> None:
    with answers.sessions.begin() as session:
        answers.response(session, "chat-one")
    answers.rate(key="second")
    refused = answers.http().delete(path)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "missing_scope")
    assert "Other keys gave feedback" in message(refused)
    assert answers.http().get(ANSWER).status_code == 200
    reviewer = answers.gateway.http(answers.gateway.key("ask", "voice"))
    assert reviewer.delete(path).json()["deleted"] is True


def test_approved_examples_are_not_deleted_by_who_only_asks(answers: FeedbackDesk) -> None:
    reviewer = answers.gateway.http(answers.gateway.key("voice"))
    answers.rate(correction="You have 40 days.", reason="wrong_fact")
    example = reviewer.get("/v1/examples").json()["data"][0]["id"]
    reviewer.post("/v1/examples/review", json={"ids": [example], "status": "approved"})
    refused = answers.http().delete(ANSWER, params={"examples": "delete"})
    assert (refused.status_code, "'voice'" in message(refused)) == (403, True)
    assert reviewer.get(f"/v1/examples/{example}").json()["answer_id"] == "chat-one"
    assert reviewer.delete(ANSWER, params={"examples": "delete"}).json()["deleted"] is True
    assert reviewer.get(f"/v1/examples/{example}").status_code == 404


def test_who_only_asks_sees_the_own_feedback_and_voice_sees_all(answers: FeedbackDesk) -> None:
    mine, theirs = answers.rate().json()["id"], answers.rate(key="second").json()["id"]
    assert [one["id"] for one in answers.http().get("/v1/feedback").json()["data"]] == [mine]
    assert answers.http().get("/v1/feedback", params={"after": theirs}).status_code == 404
    reviewer = answers.gateway.http(answers.gateway.key("voice"))
    assert {one["id"] for one in reviewer.get("/v1/feedback").json()["data"]} == {mine, theirs}


def test_feedback_names_documents_only_as_what_ought_to_have_been_cited(answers: FeedbackDesk) -> None:
    training = upload(answers.gateway.http(answers.gateway.key("voice")), "fine-tune").json()["id"]
    refused = answers.rate(reason="wrong_citation", correct_file_id=training)
    assert (refused.status_code, refused.json()["error"]["param"]) == (404, "correct_file_id")


def ask(http: TestClient, model: str) -> Any:
    return http.post("/v1/chat/completions", json={"model": model, "messages": EXAMPLE[:1]})


def test_who_only_asks_loads_no_weights_and_is_told_who_may(tmp_path: Path) -> None:
    desk = VersionDesk(tmp_path)
    name, before = desk.add("v1"), desk.yard.states()
    http = desk.gateway.http(desk.gateway.key("ask", "knowledge"))
    for answer in (ask(http, name), http.post("/v1/responses", json={"model": name, "input": "Hello?"})):
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "missing_scope")
        assert all(word in message(answer) for word in (name, "'voice'", "'operate'"))
    desk.settle()
    assert desk.yard.states() == before
    trainer = desk.gateway.http(desk.gateway.key("ask", "voice"))
    assert ask(trainer, name).json()["error"]["code"] == "model_loading"
    assert ask(http, name).json()["error"]["code"] == "model_loading"  # it is on its way already
    desk.settle()
    assert ask(http, name).json()["versions"]["weights"] == "v1"


def test_who_only_asks_changes_nothing_that_is_served(tmp_path: Path) -> None:
    desk = VersionDesk(tmp_path)
    name = desk.add("v1")
    for scopes in (["ask"], ["ask", "knowledge", "voice"]):
        http = desk.gateway.http(desk.gateway.key(*scopes))
        for path, body in ((f"/{name}/publish", {}), ("/rollback", {}), (f"/{name}/canary", {"share": 0.5})):
            refused = http.post(f"/v1/versions{path}", json=body)
            assert (refused.status_code, "'operate'" in message(refused)) == (403, True)
    assert desk.live() is None


def test_an_operator_sees_the_versions_that_it_publishes(tmp_path: Path) -> None:
    desk = VersionDesk(tmp_path)
    name = desk.add("v1")
    http = desk.gateway.http(desk.gateway.key("operate"))
    assert [one["name"] for one in http.get("/v1/versions").json()["data"]] == [name]
    assert http.get("/v1/embedders").json()["data"] == []
