"""Verdicts on answers and the examples that they propose, through the gateway on a real database."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.gateway.feedback.feedback import UNSAFE_NOTE
from services.gateway.feedback.proposals import Proposing
from tests.support.feedback_desk import FeedbackDesk


@pytest.fixture
def desk(tmp_path: Path) -> FeedbackDesk:
    return FeedbackDesk(tmp_path)


def test_a_correction_is_proposed_with_its_conversation_and_without_markers(desk: FeedbackDesk) -> None:
    given = desk.rate(reason="wrong_fact", correction="You may return it within 14 days [1].").json()
    [example] = desk.examples()
    assert example["prompt"] == [
        {"role": "user", "content": "Do you sell bikes?"},
        {"role": "assistant", "content": "Yes, we do."},
        {"role": "user", "content": "How long may I return one?"},
    ]
    assert example["answer"] == "You may return it within 14 days."
    assert (example["kind"], example["status"], example["origin"]) == ("supervised", "proposed", "feedback")
    assert (example["answer_id"], example["feedback_id"]) == ("chat-one", given["id"])
    assert (example["reviewed_by"], example["reviewed_at"], example["uses"]) == (None, None, [])


def test_a_corrected_tone_is_also_a_preference(desk: FeedbackDesk) -> None:
    desk.rate(reason="wrong_tone", correction="You may return it within 30 days.")
    supervised, preference = sorted(desk.examples(), key=lambda one: one["kind"], reverse=True)
    assert supervised["answer"] == preference["answer"] == "You may return it within 30 days."
    assert (preference["kind"], preference["rejected"]) == ("preference", "You can do it in 30 days.")


def test_a_tone_corrected_in_its_markers_alone_prefers_nothing(desk: FeedbackDesk) -> None:
    desk.rate(reason="wrong_tone", correction="You can do it in 30 days.")
    assert [one["kind"] for one in desk.examples()] == ["supervised"]


def test_thumbs_alone_propose_nothing_unless_a_setting_says_so(desk: FeedbackDesk) -> None:
    desk.rate("up")
    desk.rate("down", key="second")
    assert desk.examples() == []
    desk.proposing(Proposing(praised=True, ratings=True))
    desk.rate("up")
    desk.rate("down", key="second")
    made = [(one["kind"], one["answer"], one["label"]) for one in desk.examples()]
    assert sorted(made, key=str) == [
        ("rating", "You can do it in 30 days.", False),
        ("rating", "You can do it in 30 days.", True),
        ("supervised", "You can do it in 30 days.", None),
    ]


def test_an_unsafe_answer_proposes_nothing_and_takes_back_what_it_had_proposed(desk: FeedbackDesk) -> None:
    desk.rate(reason="wrong_fact", correction="Approved before.")
    [approved] = desk.examples()
    desk.http().post(f"/v1/examples/{approved['id']}", json={"status": "approved"})
    desk.rate(key="second", reason="wrong_fact", correction="Still waiting.")
    assert len(desk.examples(status="proposed")) == 1
    desk.rate(key="second", reason="unsafe", correction="Never say this.")
    [left] = desk.examples()
    assert (left["id"], left["status"], left["note"]) == (approved["id"], "rejected", UNSAFE_NOTE)
    assert left["reviewed_by"] == "key-second"
    desk.rate(reason="wrong_fact", correction="Another try.")
    assert len(desk.examples()) == 1


def test_a_second_verdict_of_a_key_replaces_its_first_and_leaves_those_of_others(desk: FeedbackDesk) -> None:
    first = desk.rate("up").json()
    again = desk.rate("down", reason="wrong_fact", correction="Fourteen days.").json()
    other = desk.rate("up", key="second").json()
    assert again["id"] == first["id"] != other["id"]
    listed = desk.http().get("/v1/feedback", params={"order": "asc"}).json()["data"]
    assert {(one["key_id"], one["rating"], one["correction"]) for one in listed} == {
        ("key-one", "down", "Fourteen days."),
        ("key-second", "up", None),
    }


def test_a_new_correction_replaces_one_that_waits_and_stands_beside_one_that_was_decided(desk: FeedbackDesk) -> None:
    desk.rate(reason="wrong_fact", correction="First.")
    desk.rate(reason="wrong_fact", correction="Second.")
    [second] = desk.examples()
    assert second["answer"] == "Second."
    desk.http().post(f"/v1/examples/{second['id']}", json={"status": "rejected"})
    desk.rate(reason="wrong_fact", correction="Second.")
    assert [one["status"] for one in desk.examples()] == ["rejected"]
    desk.rate(reason="wrong_fact", correction="Third.")
    assert {(one["answer"], one["status"]) for one in desk.examples()} == {
        ("Second.", "rejected"),
        ("Third.", "proposed"),
    }


def test_unreviewed_approval_is_a_setting_and_follows_the_verdict(desk: FeedbackDesk) -> None:
    desk.proposing(Proposing(reviewed=False))
    for text in ("First.", "Second."):
        desk.rate(reason="wrong_fact", correction=text)
    [example] = desk.examples()
    assert (example["answer"], example["status"], example["reviewed_by"]) == ("Second.", "approved", None)


def test_a_wrong_citation_names_the_right_file_which_goes_with_the_example(desk: FeedbackDesk) -> None:
    upload = {"file": ("returns.md", b"# Returns\n\nWithin 14 days.")}
    file = desk.http().post("/v1/files", files=upload, data={"purpose": "assistants"}).json()["id"]
    told = {"reason": "wrong_citation", "correct_file_id": file, "correct_quote": "Within 14 days."}
    given = desk.rate(**told, correction="Within 14 days.").json()
    assert {name: given[name] for name in told} == told
    assert desk.examples()[0]["metadata"] == {"document": "returns.md"}
    assert desk.rate(**{**told, "correct_file_id": "file-none"}).status_code == 404
    body = {"answer_id": "chat-two", "rating": "down", **told}
    refused = desk.http("two").post("/v1/feedback", json=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "file_not_found")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            {"reason": "rude"},
            "reason: Input should be 'wrong_fact', 'wrong_citation', 'wrong_tone', 'unsafe' or 'other'",
        ),
        ({"reason": "wrong_fact", "correct_file_id": "f"}, "goes with the reason 'wrong_citation' only"),
        ({"reason": "wrong_citation", "correct_quote": "q"}, "needs the correct_file_id"),
        ({"rating": "sideways"}, "rating: Input should be 'up' or 'down'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(desk: FeedbackDesk, asked: dict[str, str], words: str) -> None:
    refused = desk.http().post("/v1/feedback", json={"answer_id": "chat-one", "rating": "down", **asked})
    assert refused.status_code == 400
    assert words in refused.json()["error"]["message"]
    assert desk.http().get("/v1/feedback").json()["data"] == []


def test_feedback_is_listed_in_pages_and_by_what_it_says(desk: FeedbackDesk) -> None:
    with desk.sessions.begin() as session:
        for number in range(5):
            desk.answer(session, "one", f"chat-{number}")
    for number in range(5):
        rating = "up" if number % 2 else "down"
        desk.http().post("/v1/feedback", json={"answer_id": f"chat-{number}", "rating": rating})
    http = desk.http()
    first = http.get("/v1/feedback", params={"limit": 3, "order": "asc"}).json()
    assert [one["answer_id"] for one in first["data"]] == ["chat-0", "chat-1", "chat-2"]
    rest = http.get("/v1/feedback", params={"order": "asc", "after": first["last_id"]}).json()
    assert ([one["answer_id"] for one in rest["data"]], rest["has_more"]) == (["chat-3", "chat-4"], False)
    assert {one["rating"] for one in http.get("/v1/feedback", params={"rating": "up"}).json()["data"]} == {"up"}
    assert len(http.get("/v1/feedback", params={"answer_id": "chat-4"}).json()["data"]) == 1
    assert http.get("/v1/feedback", params={"after": "fb-none"}).status_code == 404


def test_another_workspace_has_neither_the_answer_nor_the_verdict(desk: FeedbackDesk) -> None:
    given = desk.rate(reason="wrong_fact", correction="Fourteen days.").json()
    assert desk.rate(key="two").status_code == 404
    assert desk.http("two").get("/v1/feedback").json()["data"] == []
    assert desk.http("two").get("/v1/feedback", params={"after": given["id"]}).status_code == 404
    assert desk.http("two").get("/v1/examples").json()["data"] == []
