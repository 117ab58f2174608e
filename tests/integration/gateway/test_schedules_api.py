"""The calls on schedules of retraining, over the real gateway and database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from services.database.tables import ApiKey, File, Job, TrainingSchedule
from services.domain.retraining import ReviewedExamples
from services.worker.schedules.retraining import Retraining
from tests.gateway_fakes import Gateway

TIMES = {"cron": "0 3 * * *", "time_zone": "Europe/Berlin"}


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    made = Gateway(tmp_path)
    with made.sessions.begin() as session:
        session.get_one(ApiKey, "key-one").scopes = ["ask", "knowledge", "voice"]
        for name, purpose in (("file-1", "fine-tune"), ("file-2", "assistants")):
            session.add(File(id=name, workspace_id="one", filename=name, purpose=purpose, bytes=1, sha256="", path="/"))
    return made


@pytest.fixture
def http(gateway: Gateway) -> TestClient:
    return gateway.http()


def create(http: TestClient, **more: Any) -> dict[str, Any]:
    answer = http.post("/v1/schedules", json={"name": "Nightly", "schedule": TIMES, "training_file": "file-1", **more})
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def test_a_schedule_is_made_looked_at_changed_and_deleted(http: TestClient) -> None:
    made = create(http, conditions={"new_examples": 20}, hyperparameters={"n_epochs": 2}, suffix="house")
    assert (made["schedule"], made["enabled"], made["last_run"]) == (TIMES, True, None)
    assert made["conditions"] == {"new_examples": 20, "match": "all"}
    assert (made["hyperparameters"]["n_epochs"], made["suffix"], made["seed"]) == (2, "house", 17)
    path = f"/v1/schedules/{made['id']}"
    changed = http.post(path, json={"schedule": {"cron": "0 4 * * 1"}, "enabled": False, "training_file": None}).json()
    assert changed["schedule"] == {"cron": "0 4 * * 1", "time_zone": "UTC"}
    assert (changed["enabled"], changed["training_file"], changed["conditions"]) == (False, None, made["conditions"])
    assert [one["id"] for one in http.get("/v1/schedules").json()["data"]] == [made["id"]]
    assert http.delete(path).json()["deleted"] is True
    assert (http.get(path).status_code, http.get("/v1/schedules").json()["data"]) == (404, [])


@pytest.mark.parametrize("cron", ["0 \uff13 * * *", "0 0 30 2 *"])
def test_digits_of_another_script_and_days_that_never_come_are_refused(http: TestClient, cron: str) -> None:
    path = f"/v1/schedules/{create(http)['id']}"
    for asked in ("/v1/schedules", path):
        answer = http.post(asked, json={"name": "Nightly", "schedule": {"cron": cron}})
        assert answer.status_code == 400, answer.text
        assert "schedule.cron" in answer.json()["error"]["message"]
    assert [one["schedule"] for one in http.get("/v1/schedules").json()["data"]] == [TIMES]


def test_the_next_run_and_the_last_outcome_are_shown(http: TestClient, gateway: Gateway, tmp_path: Path) -> None:
    path = f"/v1/schedules/{create(http, conditions={'new_examples': 20})['id']}"
    retraining = Retraining(
        gateway.sessions, tmp_path, ReviewedExamples(gateway.sessions, "memory://files"), "base", 60.0
    )
    evening = datetime(2026, 6, 1, 20, tzinfo=UTC)
    retraining.due(evening)
    due = http.get(path).json()["next_due_at"]
    assert due == datetime(2026, 6, 2, 1, tzinfo=UTC).timestamp()
    retraining.due(evening + timedelta(days=1))
    last = http.get(path).json()["last_run"]
    assert (last["due_at"], last["job_id"], last["status"]) == (due, None, "skipped")
    assert last["outcome"] == "skipped: 0 new approved examples since the last run (wanted 20)"
    http.post(path, json={"conditions": {}})
    (job,) = retraining.due(evening + timedelta(days=2))
    last = http.get(path).json()["last_run"]
    assert (last["job_id"], last["status"], last["outcome"]) == (job.id, "queued", "queued: no conditions")


def test_run_now_queues_one_job_whatever_the_conditions_and_not_a_second(http: TestClient, gateway: Gateway) -> None:
    path = f"/v1/schedules/{create(http, conditions={'older_than_days': 9000, 'new_examples': 99})['id']}"
    job = http.post(f"{path}/run").json()
    assert (job["kind"], job["status"], job["request"]["training_file"]) == ("fine_tuning", "queued", "file-1")
    again = http.post(f"{path}/run")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "schedule_is_busy")
    with gateway.sessions.begin() as session:
        session.get_one(Job, job["id"]).status = "failed"
    assert http.post(f"{path}/run").status_code == 200
    assert http.get(path).json()["last_run"]["outcome"] == "queued: a person asked for it"
    with gateway.sessions() as session:
        assert len(session.scalars(select(Job)).all()) == 2


def test_run_now_with_nothing_to_train_on_is_refused_in_words(http: TestClient) -> None:
    answer = http.post(f"/v1/schedules/{create(http, training_file=None)['id']}/run")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "nothing_to_train_on")
    assert "approved examples" in answer.json()["error"]["message"]


def test_the_fine_tuning_job_of_a_schedule_is_one_as_any_other(http: TestClient) -> None:
    job = http.post(f"/v1/schedules/{create(http)['id']}/run").json()
    shown = http.get(f"/v1/fine_tuning/jobs/{job['id']}").json()
    assert (shown["training_file"], shown["seed"], shown["hyperparameters"]["n_epochs"]) == ("file-1", 17, "auto")


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"schedule": {"cron": "0 25 * * *"}}, 400, "hour"),
        ({"schedule": {"cron": "0 3 * * *", "time_zone": "Mars/Olympus"}}, 400, "no time zone"),
        ({"conditions": {"new_exampels": 3}}, 400, "new_exampels"),
        ({"conditions": {"new_examples": 0}}, 400, "new_examples"),
        ({"conditions": {"style_drop": 2}}, 400, "style_drop"),
        ({"training_file": "file-2"}, 400, "purpose 'fine-tune'"),
        ({"training_file": "file-3"}, 404, "file-3"),
        ({"suffix": "a/b"}, 400, "suffix"),
    ],
)
def test_what_makes_no_schedule_is_refused_in_words(
    http: TestClient, gateway: Gateway, body: dict[str, Any], status: int, words: str
) -> None:
    answer = http.post("/v1/schedules", json={"name": "Nightly", "schedule": TIMES, **body})
    assert answer.status_code == status
    assert words in answer.json()["error"]["message"]
    with gateway.sessions() as session:
        assert session.scalars(select(TrainingSchedule)).all() == []
