"""The calls on versions, over the real gateway, generation's publisher and database; the engines are fakes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.database.tables import Version
from services.domain.jobs import new_job
from services.generation.slots.starting import Weights
from tests.version_desk import REFUSED, VersionDesk

START = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def desk(tmp_path: Path) -> VersionDesk:
    return VersionDesk(tmp_path)


def test_a_version_shows_where_it_comes_from_and_who_made_it_live(desk: VersionDesk) -> None:
    weights = {"sha256": "abc", "tensors": 2, "files": {"config.json": "def"}}
    lineage = {"data_set_id": "data-1", "code_version": "0.1.0+c0ffee", "seed": 17, "weights": weights}
    name = desk.add("v1", lineage=lineage, metrics={"candidate": {"facts": 0.9}}, job_id="ftjob-1")
    assert desk.post("v1", "publish", reason="ready").status_code == 202
    desk.settle()
    assert desk.post("v1", "publish", reason="ready").status_code == 200
    shown = desk.get(f"/{name}")
    assert {key: shown[key] for key in lineage} == lineage
    assert (shown["dataset_hash"], shown["template_fingerprint"], shown["job_id"]) == ("d", "t", "ftjob-1")
    assert (shown["live"], shown["status"], shown["gate"]["passed"]) == (True, "published", True)
    (event,) = shown["history"]
    assert (event["event"], event["why"], event["by"], event["reason"]) == ("moved", "person", "key-one", "ready")
    assert event["overrides"] is False


def test_a_refused_candidate_is_published_only_against_the_gate_with_a_reason_that_stays_visible(
    desk: VersionDesk,
) -> None:
    desk.add("bad", REFUSED)
    refused = desk.post("bad", "publish")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "gate_not_passed")
    assert "Style fell: 0.2 against 0.6." in refused.json()["error"]["message"]
    assert desk.post("bad", "publish", override=True).status_code == 400
    assert desk.post("bad", "publish", overide=True).status_code == 400
    assert desk.yard.states() == []
    asked = {"override": True, "reason": "the gate's questions are out of date"}
    assert desk.post("bad", "publish", **asked).status_code == 202
    desk.settle()
    assert desk.post("bad", "publish", **asked).status_code == 200
    (event,) = desk.get("/bad")["history"]
    assert (event["overrides"], event["by"], event["reason"]) == (True, "key-one", asked["reason"])
    assert desk.get("/bad")["gate"]["passed"] is False


def test_a_candidate_that_no_gate_judged_needs_an_override_too(desk: VersionDesk) -> None:
    desk.add("v1", None)
    answer = desk.post("v1", "publish")
    assert (answer.status_code, "has not judged" in answer.json()["error"]["message"]) == (409, True)


def test_a_version_that_was_live_before_may_go_live_again(desk: VersionDesk) -> None:
    desk.add("bad", REFUSED, status="published")
    desk.make_live("bad")
    assert desk.live() == "bad"


def test_the_list_is_read_in_pages_and_the_history_newest_first(desk: VersionDesk) -> None:
    for number in range(5):
        desk.add(f"v{number}", created_at=START + timedelta(hours=number))
    page = desk.get("", limit=2)
    assert ([row["id"] for row in page["data"]], page["has_more"]) == (["v4", "v3"], True)
    rest = desk.get("", limit=3, after=page["last_id"])
    assert ([row["id"] for row in rest["data"]], rest["has_more"]) == (["v2", "v1", "v0"], False)
    for number in (0, 1):
        desk.make_live(f"v{number}")
    newest = desk.get("/history", limit=1)
    assert ([row["version"] for row in newest["data"]], newest["has_more"]) == (["ft:base:x:v1"], True)
    older = desk.get("/history", after=newest["data"][0]["id"])
    assert ([row["version_id"] for row in older["data"]], older["has_more"]) == (["v0"], False)
    assert desk.http.get("/v1/versions/history", params={"after": "yesterday"}).status_code == 404


def test_a_rollback_says_who_and_why(desk: VersionDesk) -> None:
    for name in ("v1", "v2"):
        desk.add(name)
        desk.make_live(name)
    assert desk.http.post("/v1/versions/rollback", json={"reason": "too curt"}).status_code == 200
    assert desk.live() == "v1"
    last = desk.history()[-1]
    assert (last["why"], last["by"], last["reason"]) == ("rollback", "key-one", "too curt")


def test_a_rollback_of_the_first_version_leaves_the_base_weights_to_answer(desk: VersionDesk) -> None:
    desk.yard.fleet.serve_base(Weights(Path("/base")))
    desk.add("v1")
    desk.make_live("v1")
    assert desk.http.post("/v1/versions/rollback").json()["version_id"] is None
    assert desk.ask("How long?", "default").json()["versions"]["weights"] == "base"
    assert desk.ask("How long?", "tandem/hybrid").status_code == 404
    assert desk.http.post("/v1/versions/rollback").json()["version_id"] == "v1"
    assert desk.live() == "v1"


def test_what_is_live_previous_pinned_last_good_tried_or_being_made_is_not_deleted(desk: VersionDesk) -> None:
    for name in ("good", "worse", "live", "pinned", "tried", "free"):
        desk.add(name, REFUSED if name == "worse" else {"passed": True})
    job = new_job("one", "fine_tuning", {}, 60.0)
    with desk.sessions.begin() as session:
        session.add(job)
    desk.add("made", None, job_id=job.id)
    desk.make_live("good")
    desk.add("override", REFUSED, status="published")
    for name in ("override", "worse"):
        with desk.sessions.begin() as session:
            session.get_one(Version, name).status = "published"
        desk.make_live(name)
    desk.make_live("live")
    assert desk.post("pinned", "pin").json()["pinned"] is True
    assert desk.post("tried", "canary", share=0.1).status_code == 202
    reasons = {"live": "it is live", "worse": "a rollback goes back", "good": "last good", "pinned": "it is pinned",
               "tried": "canary", "made": "not finished"}  # fmt: skip
    for name, words in reasons.items():
        answer = desk.http.delete(f"/v1/versions/{name}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "version_in_use")
        assert words in answer.json()["error"]["message"]
    for name in ("free", "override"):
        assert desk.http.delete(f"/v1/versions/{name}").json() == {"id": name, "object": "version", "deleted": True}
    assert desk.post("pinned", "unpin").json()["pinned"] is False
    assert desk.http.delete("/v1/versions/pinned").status_code == 200


def test_a_deleted_version_keeps_its_row_and_is_offered_no_more(desk: VersionDesk) -> None:
    name = desk.add("v1", metrics={"candidate": {"facts": 0.9}})
    assert desk.http.delete("/v1/versions/v1").status_code == 200
    shown = desk.get("/v1")
    assert (shown["status"], shown["metrics"]) == ("removed", {"candidate": {"facts": 0.9}})
    assert name not in desk.http.get("/v1/models").text
    assert desk.ask("Hello?", name).status_code == 404
    for what, body in (("publish", {}), ("pin", {}), ("canary", {"share": 0.1})):
        answer = desk.post("v1", what, **body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "version_removed")


def test_a_key_without_the_scope_moves_nothing(desk: VersionDesk) -> None:
    desk.add("v1")
    reader = desk.gateway.http("two")
    calls = (("POST", "/v1/publish"), ("POST", "/v1/pin"), ("POST", "/v1/canary"), ("DELETE", "/v1"), ("GET", "/v1"))
    for method, path in calls:
        assert reader.request(method, f"/v1/versions{path}", json={"share": 0.1}).status_code in (403, 404)
    assert desk.get("/v1")["history"] == []
