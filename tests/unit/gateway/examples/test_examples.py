"""The review queue, the file that approved examples are frozen into, and what becomes of an answer that is deleted."""

from __future__ import annotations

import json
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from services.database.tables import Example, Feedback, Turn, Version, now
from services.domain.examples import TooFewExamples, count_new, freeze_examples
from services.domain.jobs import new_job
from services.domain.journal import forget_before
from tests.support.feedback_desk import FeedbackDesk
from training.data.dataset import parse_dataset

QUESTION = [{"role": "user", "content": "May I return it?"}]


@pytest.fixture
def desk(tmp_path: Path) -> FeedbackDesk:
    return FeedbackDesk(tmp_path)


def create(desk: FeedbackDesk, number: int = 0, status: str = "approved", **more: Any) -> dict[str, Any]:
    body = {"prompt": QUESTION, "answer": f"You may, within {number} days [1].", "status": status, **more}
    made = desk.http().post("/v1/examples", json=body)
    assert made.status_code == 200, made.text
    created: dict[str, Any] = made.json()
    return created


def export(desk: FeedbackDesk, kind: str = "supervised") -> dict[str, Any]:
    made = desk.http().post("/v1/examples/export", json={"kind": kind})
    assert made.status_code == 200, made.text
    exported: dict[str, Any] = made.json()
    return exported


def lines(desk: FeedbackDesk, file_id: str) -> list[dict[str, Any]]:
    content = desk.http().get(f"/v1/files/{file_id}/content").content
    return [json.loads(line) for line in content.splitlines()]


def train(desk: FeedbackDesk, file_id: str, status: str = "succeeded") -> str:
    """A fine-tuning job on a file, and the version that it made; returns the job's id."""
    job = new_job("one", "fine_tuning", {"training_file": file_id}, 60.0)
    job.status = status
    version = Version(id=f"ver-{job.id}", workspace_id="one", name=f"ft:base:house:{job.id[-4:]}", base_model="base",
                      job_id=job.id, path="", dataset_hash="", template_fingerprint="", settings={},
                      status="published")  # fmt: skip
    with desk.sessions.begin() as session:
        session.add_all([job, version])
    return job.id


def test_an_example_by_hand_waits_for_a_review_and_loses_its_markers(desk: FeedbackDesk) -> None:
    made = create(desk, 7, status="proposed")
    assert (made["status"], made["origin"], made["answer"]) == ("proposed", "api", "You may, within 7 days.")
    assert desk.http().get(f"/v1/examples/{made['id']}").json() == made


def test_a_verdict_has_its_reviewer_time_and_note(desk: FeedbackDesk) -> None:
    made = create(desk, status="proposed")
    asked = {"status": "approved", "note": "Well said."}
    reviewed = desk.http("second").post(f"/v1/examples/{made['id']}", json=asked).json()
    assert (reviewed["status"], reviewed["reviewed_by"], reviewed["note"]) == ("approved", "key-second", "Well said.")
    assert abs(reviewed["reviewed_at"] - now().timestamp()) < 60


def test_a_new_text_waits_for_a_review_unless_it_comes_with_one(desk: FeedbackDesk) -> None:
    path = f"/v1/examples/{create(desk)['id']}"
    edited = desk.http().post(path, json={"answer": "No [1]."}).json()
    assert (edited["answer"], edited["status"], edited["reviewed_by"]) == ("No.", "proposed", None)
    edited = desk.http().post(path, json={"answer": "Yes.", "status": "approved"}).json()
    assert (edited["answer"], edited["status"], edited["reviewed_by"]) == ("Yes.", "approved", "key-one")
    noted = desk.http().post(path, json={"note": "Keep."}).json()
    assert (noted["status"], noted["note"], noted["answer"]) == ("approved", "Keep.", "Yes.")


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"prompt": [{"role": "assistant", "content": "Hm."}], "answer": "A"}, "prompt"),
        ({"prompt": [], "answer": "A"}, "prompt"),
        ({"prompt": QUESTION, "answer": "[1]"}, "answer"),
        ({"prompt": QUESTION, "answer": "  "}, "answer"),
        ({"prompt": QUESTION, "answer": "A", "rejected": "B"}, "rejected"),
        ({"prompt": QUESTION, "answer": "A", "kind": "preference"}, "rejected"),
        ({"prompt": QUESTION, "answer": "A", "kind": "preference", "rejected": "A [2]"}, "rejected"),
        ({"prompt": QUESTION, "answer": "A", "kind": "rating"}, "label"),
        ({"prompt": QUESTION, "answer": "A", "label": True}, "label"),
        ({"prompt": QUESTION, "answer": "A", "kind": "song"}, "kind"),
        ({"prompt": QUESTION, "answer": "A", "sorce": "me"}, "sorce"),
    ],
)
def test_what_is_no_example_of_its_kind_is_refused(desk: FeedbackDesk, asked: dict[str, Any], param: str) -> None:
    refused = desk.http().post("/v1/examples", json=asked)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
    assert desk.examples() == []


def test_an_edit_that_breaks_an_example_changes_nothing(desk: FeedbackDesk) -> None:
    made = create(desk, kind="preference", rejected="Nope.")
    refused = desk.http().post(f"/v1/examples/{made['id']}", json={"rejected": made["answer"]})
    assert refused.status_code == 400
    assert desk.http().get(f"/v1/examples/{made['id']}").json() == made


def test_many_are_reviewed_at_once_or_none(desk: FeedbackDesk) -> None:
    ids = [create(desk, number, status="proposed")["id"] for number in range(3)]
    refused = desk.http().post("/v1/examples/review", json={"ids": [*ids, "ex-none"], "status": "approved"})
    assert (refused.status_code, len(desk.examples(status="proposed"))) == (404, 3)
    desk.http().post("/v1/examples/review", json={"ids": ids[:2], "status": "approved", "note": "Together."})
    desk.http().post("/v1/examples/review", json={"ids": ids[2:], "status": "rejected"})
    assert [one["id"] for one in desk.examples(status="approved")] == ids[:2]
    assert [one["id"] for one in desk.examples(status="rejected")] == ids[2:]


def test_the_queue_is_listed_in_pages_by_status_and_kind(desk: FeedbackDesk) -> None:
    made = [create(desk, number, status="proposed")["id"] for number in range(4)]
    pair = create(desk, 9, status="proposed", kind="preference", rejected="Nope.")["id"]
    page = desk.http().get("/v1/examples", params={"limit": 2, "order": "asc"}).json()
    assert ([one["id"] for one in page["data"]], page["has_more"]) == (made[:2], True)
    assert [one["id"] for one in desk.examples(after=made[1])] == [*made[2:], pair]
    assert [one["id"] for one in desk.examples(kind="preference", status="proposed")] == [pair]
    assert desk.http().get("/v1/examples", params={"status": "lost"}).status_code == 400


def test_only_approved_examples_are_frozen_into_a_file_that_training_reads(desk: FeedbackDesk) -> None:
    made = [create(desk, number, metadata={"document": "returns.md"}) for number in range(11)]
    create(desk, 50, status="proposed")
    desk.http().post(f"/v1/examples/{made[0]['id']}", json={"status": "rejected"})
    exported = export(desk)
    assert (exported["examples"], exported["new_examples"]) == (10, 10)
    rows = lines(desk, exported["file_id"])
    assert [row["metadata"]["example_id"] for row in rows] == [one["id"] for one in made[1:]]
    assert rows[0]["messages"] == [*QUESTION, {"role": "assistant", "content": "You may, within 1 days."}]
    content = desk.http().get(f"/v1/files/{exported['file_id']}/content").content
    assert sha256(content).hexdigest() == exported["sha256"]
    read = parse_dataset(content)
    assert read.examples[0].document == "returns.md"
    file = desk.http().get(f"/v1/files/{exported['file_id']}").json()
    assert (file["purpose"], file["filename"]) == ("fine-tune", "examples-supervised-10.jsonl")


TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    *QUESTION,
    {"role": "assistant", "content": "You may."},
    {"role": "user", "content": "For how long?"},
]


def test_an_answer_that_nobody_approved_is_not_learned_for_standing_in_a_prompt(desk: FeedbackDesk) -> None:
    for number in range(10):
        create(desk, number, prompt=TALK)
    file_id = export(desk)["file_id"]
    assert lines(desk, file_id)[0]["messages"][:4] == [*TALK[:2], {**TALK[2], "weight": 0}, TALK[3]]
    content = desk.http().get(f"/v1/files/{file_id}/content").content
    assert [turn.answer for turn in parse_dataset(content).examples[3].turns] == ["You may, within 3 days."]


def test_each_answer_that_a_file_teaches_becomes_an_example(desk: FeedbackDesk) -> None:
    talk = [*TALK, {"role": "assistant", "content": "30 days."}, *QUESTION, {"role": "assistant", "content": "Again?"}]
    rows = [{"messages": [*talk[:-1], {**talk[-1], "weight": 0}], "metadata": {"document": "a.md"}}] * 10
    data = "\n".join(json.dumps(row) for row in rows).encode()
    sent = desk.http().post("/v1/files", files={"file": ("talk.jsonl", data)}, data={"purpose": "fine-tune"})
    made = desk.http().post("/v1/examples/import", json={"file_id": sent.json()["id"]}).json()
    assert made["examples"] == 20
    found = {(one["answer"], len(one["prompt"]), one["metadata"].get("document")) for one in desk.examples()}
    assert found == {("You may.", 2, None), ("30 days.", 4, "a.md")}


def test_preferences_and_ratings_are_frozen_in_the_form_of_their_training(desk: FeedbackDesk) -> None:
    for number in range(10):
        create(desk, number, kind="preference", rejected=f"Nope {number}!")
        create(desk, number, kind="rating", label=number % 2 == 0)
    pair = lines(desk, export(desk, "preference")["file_id"])[3]
    assert pair["input"] == {"messages": QUESTION}
    assert pair["preferred_output"] == [{"role": "assistant", "content": "You may, within 3 days."}]
    assert pair["non_preferred_output"] == [{"role": "assistant", "content": "Nope 3!"}]
    rated = lines(desk, export(desk, "rating")["file_id"])[3]
    assert (rated["completion"][0]["content"], rated["label"]) == ("You may, within 3 days.", False)


def test_the_same_examples_give_the_same_file_and_one_more_gives_another(desk: FeedbackDesk) -> None:
    for number in range(10):
        create(desk, number)
    first = export(desk)["file_id"]
    assert export(desk)["file_id"] == first
    create(desk, 10)
    second = export(desk)["file_id"]
    assert second != first
    desk.http().delete(f"/v1/files/{second}")
    assert export(desk)["file_id"] not in (first, second)


def test_too_few_approved_examples_are_refused_with_how_many_there_are(desk: FeedbackDesk, tmp_path: Path) -> None:
    for number in range(9):
        create(desk, number)
    refused = desk.http().post("/v1/examples/export", json={})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "too_few_examples")
    assert "9 approved examples of the kind 'supervised'; at least 10" in refused.json()["error"]["message"]
    with pytest.raises(TooFewExamples):
        freeze_examples(desk.sessions, str(tmp_path), "two", "supervised")


def test_an_example_shows_the_files_jobs_and_versions_that_have_it(desk: FeedbackDesk) -> None:
    made = [create(desk, number) for number in range(10)]
    file_id = export(desk)["file_id"]
    jobs = [train(desk, file_id), train(desk, file_id, "failed")]
    [use] = desk.http().get(f"/v1/examples/{made[0]['id']}").json()["uses"]
    assert (use["file_id"], use["jobs"], len(use["versions"])) == (file_id, jobs, 2)
    assert [one["uses"] for one in desk.examples()] == [[{**use, "example_id": one["id"]}] for one in made]
    deleted = desk.http().delete(f"/v1/examples/{made[0]['id']}").json()
    assert [one["file_id"] for one in deleted["contained_in"]] == [file_id]
    assert desk.http().get(f"/v1/examples/{made[0]['id']}").status_code == 404


def test_examples_are_new_until_a_job_that_does_not_fail_takes_them(desk: FeedbackDesk) -> None:
    for number in range(10):
        create(desk, number)
    create(desk, 20, status="proposed")
    file_id = export(desk)["file_id"]
    assert count_new(desk.sessions, "one", "supervised") == 10
    train(desk, file_id, "failed")
    assert count_new(desk.sessions, "one", "supervised") == 10
    train(desk, file_id, "running")
    create(desk, 11)
    assert count_new(desk.sessions, "one", "supervised") == 1
    assert count_new(desk.sessions, "one", "preference") == count_new(desk.sessions, "two", "supervised") == 0


def upload(desk: FeedbackDesk, count: int = 12) -> str:
    rows = [{"messages": [*QUESTION, {"role": "assistant", "content": f"Answer {n}."}], "metadata": {"document": None}}
            for n in range(count)]  # fmt: skip
    data = "\n".join(json.dumps(row) for row in rows).encode()
    sent = desk.http().post("/v1/files", files={"file": ("house.jsonl", data)}, data={"purpose": "fine-tune"})
    return str(sent.json()["id"])


def test_a_training_file_becomes_examples_once(desk: FeedbackDesk) -> None:
    file_id = upload(desk)
    made = desk.http().post("/v1/examples/import", json={"file_id": file_id}).json()
    assert (made["examples"], made["status"]) == (12, "proposed")
    found = desk.examples()
    assert {(one["origin"], one["status"], one["answer"]) for one in found} == {
        ("file", "proposed", f"Answer {n}.") for n in range(12)
    }
    assert all(one["uses"][0]["file_id"] == file_id and one["metadata"] == {"document": None} for one in found)
    again = desk.http().post("/v1/examples/import", json={"file_id": file_id})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "already_imported")
    assert len(desk.examples()) == 12


def test_a_document_is_no_file_of_examples(desk: FeedbackDesk) -> None:
    sent = desk.http().post("/v1/files", files={"file": ("a.md", b"# Hello")}, data={"purpose": "assistants"})
    refused = desk.http().post("/v1/examples/import", json={"file_id": sent.json()["id"]})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_training_file")
    assert "line 1" in refused.json()["error"]["message"]


def corrected(desk: FeedbackDesk) -> tuple[str, str]:
    """An approved correction of the answer, in a file that a version was trained on: the ids of example and file."""
    desk.rate(reason="wrong_fact", correction="Fourteen days.")
    example_id = desk.examples()[0]["id"]
    desk.http().post(f"/v1/examples/{example_id}", json={"status": "approved"})
    for number in range(9):
        create(desk, number)
    file_id = export(desk)["file_id"]
    assert lines(desk, file_id)[0]["metadata"] == {"example_id": example_id, "answer_id": "chat-one"}
    train(desk, file_id)
    return example_id, file_id


def test_a_deleted_answer_says_where_its_text_still_is(desk: FeedbackDesk) -> None:
    example_id, file_id = corrected(desk)
    desk.rate(key="second", reason="wrong_fact", correction="Nobody approved this.")
    deleted = desk.http().delete("/v1/answers/chat-one").json()
    assert (deleted["deleted"], deleted["examples"]) == (True, [example_id])
    [use] = deleted["contained_in"]
    assert (use["example_id"], use["file_id"], len(use["versions"])) == (example_id, file_id, 1)
    assert desk.http().get("/v1/answers/chat-one").status_code == 404
    assert desk.http().get("/v1/feedback").json()["data"] == []
    kept = desk.http().get(f"/v1/examples/{example_id}").json()
    assert (kept["answer"], kept["answer_id"], kept["feedback_id"]) == ("Fourteen days.", None, None)
    assert "Nobody approved this." not in {one["answer"] for one in desk.examples()}


def test_a_deleted_answer_takes_its_examples_along_where_that_is_asked(desk: FeedbackDesk) -> None:
    example_id, file_id = corrected(desk)
    deleted = desk.http().delete("/v1/answers/chat-one", params={"examples": "delete"}).json()
    assert (deleted["examples"], [use["file_id"] for use in deleted["contained_in"]]) == ([], [file_id])
    assert desk.http().get(f"/v1/examples/{example_id}").status_code == 404


def test_what_an_example_was_made_of_is_told_after_the_example_is_gone(desk: FeedbackDesk) -> None:
    example_id, file_id = corrected(desk)
    desk.http().delete(f"/v1/examples/{example_id}")
    deleted = desk.http().delete("/v1/answers/chat-one").json()
    assert [use["file_id"] for use in deleted["contained_in"]] == [file_id]


def test_old_answers_leave_the_journal_and_approved_examples_stay(desk: FeedbackDesk) -> None:
    example_id, _ = corrected(desk)
    desk.rate(key="second", reason="wrong_fact", correction="Nobody approved this.")
    with desk.sessions.begin() as session:
        session.get_one(Turn, "chat-one").created_at = now() - timedelta(days=31)
        for number in range(3):
            desk.answer(session, "two", f"old-{number}")
            session.flush()
            session.get_one(Turn, f"old-{number}").created_at = now() - timedelta(days=40)
    assert forget_before(desk.sessions, now() - timedelta(days=30)) == 4
    assert forget_before(desk.sessions, now() - timedelta(days=30)) == 0
    with desk.sessions() as session:
        assert [turn.id for turn in session.query(Turn)] == ["chat-two"]
        assert session.query(Feedback).count() == 0
        kept = session.get_one(Example, example_id)
        assert (kept.answer, kept.turn_id, kept.status) == ("Fourteen days.", None, "approved")
        assert session.query(Example).filter(Example.status == "proposed").count() == 0


def test_another_workspace_has_none_of_it(desk: FeedbackDesk) -> None:
    example_id, file_id = corrected(desk)
    http = desk.http("two")
    for method, path, body in (
        ("GET", f"/v1/examples/{example_id}", None),
        ("POST", f"/v1/examples/{example_id}", {"status": "rejected"}),
        ("DELETE", f"/v1/examples/{example_id}", None),
        ("POST", "/v1/examples/review", {"ids": [example_id], "status": "rejected"}),
        ("POST", "/v1/examples/import", {"file_id": file_id}),
        ("DELETE", "/v1/answers/chat-one", None),
    ):
        assert http.request(method, path, json=body).status_code == 404
    assert desk.http().get(f"/v1/examples/{example_id}").json()["status"] == "approved"
