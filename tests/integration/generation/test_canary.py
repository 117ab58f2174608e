"""A canary through the public API: gateway and generation for real, the engines fakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateway_fakes import FakeModel
from tests.version_desk import REFUSED, VersionDesk

QUESTIONS = [f"What does part number {n} cost?" for n in range(60)]


@pytest.fixture
def desk(tmp_path: Path) -> VersionDesk:
    """`v1` is live and `v2` has passed the gate; each answers with its own name."""
    made = VersionDesk(tmp_path)
    for name in ("v1", "v2", "v3"):
        made.add(name)
        model = FakeModel()
        model.pieces = (f"{name} says so.",)
        made.models[name] = model
    made.make_live("v1")
    return made


def try_on(desk: VersionDesk, share: float = 0.5, **more: Any) -> None:
    assert desk.post("v2", "canary", share=share, **more).status_code == 202
    desk.settle()


def broken(desk: VersionDesk, name: str) -> None:
    model = FakeModel()
    model.breaks = True
    desk.models[name] = model


def weights(answer: Any) -> str:
    assert answer.status_code == 200, answer.text
    body = answer.json()
    used = str(body["versions"]["weights"])
    assert body["choices"][0]["message"]["content"] == f"{used} says so."
    return used


def test_a_share_of_the_questions_is_answered_by_the_canary_and_each_answer_says_by_which(desk: VersionDesk) -> None:
    try_on(desk)
    first = [weights(desk.ask(question)) for question in QUESTIONS]
    assert 15 < first.count("v2") < 45
    assert [weights(desk.ask(question)) for question in QUESTIONS] == first
    shown = desk.get("/v2")["canary"]
    assert (shown["answers"], shown["live_answers"]) == (2 * first.count("v2"), 2 * first.count("v1"))
    assert (shown["errors"], shown["live_errors"], desk.live()) == (0, 0, "v1")


def test_every_turn_of_a_conversation_is_answered_by_the_same_version(desk: VersionDesk) -> None:
    try_on(desk)
    for question in QUESTIONS[:20]:
        said = [{"role": "user", "content": question}]
        seen = set()
        for _ in range(3):
            body = desk.http.post("/v1/chat/completions", json={"model": "tandem/tuned", "messages": said}).json()
            seen.add(body["versions"]["weights"])
            said += [{"role": "assistant", "content": "So."}, {"role": "user", "content": f"And {len(said)}?"}]
        assert len(seen) == 1


def test_a_canary_that_fails_more_often_than_the_live_version_is_taken_back_by_itself(desk: VersionDesk) -> None:
    try_on(desk, min_requests=5)
    broken(desk, "v2")
    answers = [desk.ask(question) for question in QUESTIONS]
    assert [answer.status_code for answer in answers].count(502) == 5
    desk.settle()
    assert desk.live() == "v1"
    assert {weights(desk.ask(question)) for question in QUESTIONS} == {"v1"}
    started, ended = desk.history()[-2:]
    assert (started["event"], started["by"], started["version"]) == ("canary_started", "key-one", "ft:base:x:v2")
    assert (ended["event"], ended["why"], ended["by"]) == ("canary_ended", "canary", None)
    assert (ended["figures"]["errors"], ended["figures"]["answers"]) == (5, 0)
    assert "100.0% of its 5 requests failed" in ended["reason"]
    assert desk.get("/v2")["canary"] is None


def test_errors_that_the_live_version_makes_too_do_not_end_a_canary(desk: VersionDesk) -> None:
    try_on(desk, min_requests=15)  # with 5, one run in 32 judges before the live version was asked at all
    broken(desk, "v1")
    broken(desk, "v2")
    for question in QUESTIONS:
        assert desk.ask(question).status_code == 502
    shown = desk.get("/v2")["canary"]
    assert (shown["answers"], shown["live_answers"]) == (0, 0)
    assert shown["errors"] + shown["live_errors"] == len(QUESTIONS)


def test_a_canary_slot_that_is_not_there_costs_no_answer_and_counts_as_an_error(desk: VersionDesk) -> None:
    async def gone(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    try_on(desk, min_requests=5)
    desk.models["v2"] = gone
    assert {weights(desk.ask(question)) for question in QUESTIONS} == {"v1"}
    assert desk.history()[-1]["event"] == "canary_ended"
    assert desk.history()[-1]["figures"]["errors"] == 5


def test_what_is_no_fault_of_the_weights_counts_on_neither_side(desk: VersionDesk) -> None:
    try_on(desk)
    desk.gateway.retrieval.up = False
    for question in QUESTIONS[:10]:
        assert desk.ask(question, "tandem/hybrid").status_code == 503
    for name in ("v1", "v2"):
        model = FakeModel()
        model.fits = 0
        desk.models[name] = model
    assert desk.ask(QUESTIONS[0]).status_code == 400
    shown = desk.get("/v2")["canary"]
    assert [shown[name] for name in ("answers", "errors", "live_answers", "live_errors")] == [0, 0, 0, 0]


def test_empty_answers_of_a_canary_are_errors(desk: VersionDesk) -> None:
    try_on(desk, min_requests=5)
    silent = FakeModel()
    silent.pieces = ("",)
    desk.models["v2"] = silent
    for question in QUESTIONS:
        desk.ask(question)
    assert desk.history()[-1]["figures"]["errors"] == 5


def test_a_canary_is_published_by_itself_only_where_that_was_asked_for(desk: VersionDesk) -> None:
    try_on(desk, min_requests=5, promote_after=10)
    for question in QUESTIONS:
        weights(desk.ask(question))
    desk.settle()
    assert desk.live() == "v2"
    moved, ended = desk.history()[-2:]
    assert (moved["event"], moved["why"], moved["version_id"], moved["by"]) == ("moved", "canary", "v2", None)
    assert (ended["event"], ended["figures"]["answers"]) == ("canary_ended", 10)
    assert {weights(desk.ask(question)) for question in QUESTIONS} == {"v2"}


def test_a_person_ends_a_canary(desk: VersionDesk) -> None:
    assert desk.http.delete("/v1/versions/v2/canary").status_code == 409
    try_on(desk)
    assert desk.http.delete("/v1/versions/ft:base:x:v2/canary").json() == {"ended": True}
    desk.settle()
    assert {weights(desk.ask(question)) for question in QUESTIONS} == {"v1"}
    assert (desk.history()[-1]["event"], desk.history()[-1]["by"]) == ("canary_ended", "key-one")


def test_asking_for_another_version_does_not_take_the_canarys_slot(desk: VersionDesk) -> None:
    try_on(desk)
    assert desk.ask("Hello?", "ft:base:x:v3").status_code == 503
    desk.settle()
    assert desk.get("/v2")["canary"] is not None
    assert desk.ask("Hello?", "ft:base:x:v2").json()["versions"]["weights"] == "v2"


@pytest.mark.parametrize(
    ("name", "body", "status", "words"),
    [
        ("v1", {"share": 0.1}, 409, "live already"),
        ("v2", {"share": 1.0}, 400, "less than 1"),
        ("v2", {"share": 0.1, "promote_after": 10}, 400, "min_requests"),
        ("v2", {"share": 0.1, "percent": 5}, 400, "percent"),
        ("bad", {"share": 0.1}, 409, "Style fell"),
        ("bad", {"share": 0.1, "override": True}, 400, "reason"),
        ("none", {"share": 0.1}, 404, "no version 'none'"),
    ],
)
def test_what_cannot_be_tried_is_refused_in_words(
    desk: VersionDesk, name: str, body: dict[str, Any], status: int, words: str
) -> None:
    desk.add("bad", REFUSED)
    answer = desk.post(name, "canary", **body)
    assert answer.status_code == status
    assert words in answer.json()["error"]["message"]
