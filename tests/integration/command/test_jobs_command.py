"""`tandem jobs` over the real gateway and database, with more files waiting than a list shows."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from services.cli import app
from services.command.api import Api
from services.command.output import Output
from services.command.verbs import report, work
from services.contracts.jobs import JobKind, JobStatus
from services.database.tables import ApiKey, now
from services.domain.jobs import new_job
from tests.gateway_fakes import Gateway

LONG_AGO: list[tuple[JobKind, JobStatus, int]] = [
    ("fine_tuning", "running", 300),
    ("index_file", "running", 200),
    ("sync_source", "failed", 500),
    ("index_file", "failed", 400),
    ("index_file", "failed", 350),
    ("reindex", "succeeded", 250),
]
WAITING: tuple[JobKind, JobStatus, int] = ("index_file", "queued", 1)


@pytest.fixture
def api(tmp_path: Path) -> Api:
    gateway = Gateway(tmp_path)
    with gateway.sessions.begin() as session:
        session.get_one(ApiKey, "key-one").scopes = ["knowledge", "voice"]
        for kind, status, minutes in LONG_AGO + [WAITING] * 60:
            job = new_job("one", kind, {"store_id": "s"}, 60.0)
            job.status, job.created_at = status, now() - timedelta(minutes=minutes)
            session.add(job)
    http = gateway.http()

    def answer(request: httpx.Request) -> httpx.Response:
        got = http.request(request.method, request.url.raw_path.decode())
        return httpx.Response(got.status_code, content=got.content, headers={"content-type": "application/json"})

    return Api("http://tandem.test", "key", httpx.MockTransport(answer))


def test_what_runs_and_what_failed_stands_first_by_kind_however_many_files_wait(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    found = work.overview(api)
    first = [(job["status"], job["kind"]) for job in found[:6]]
    assert first == [
        ("running", "fine_tuning"),
        ("running", "index_file"),
        ("failed", "index_file"),
        ("failed", "index_file"),
        ("failed", "sync_source"),
        ("queued", "index_file"),
    ]
    assert found[2]["created_at"] > found[3]["created_at"]
    assert len({job["id"] for job in found}) == len(found)
    assert found[0].keys() == api.get("/v1/jobs")["data"][0].keys()
    report.jobs(Output(as_json=False), found)
    lines = capsys.readouterr().out.splitlines()
    shown = [line for line in lines if "job-" in line]
    assert [" fine_tuning " in line for line in shown[:2]] == [True, False]
    assert [" failed " in line for line in shown[2:5]] == [True] * 3


def test_the_jobs_of_one_status_can_be_asked_for(api: Api) -> None:
    assert {job["status"] for job in api.get("/v1/jobs", status="failed")["data"]} == {"failed"}
    with pytest.raises(Exception, match="status"):
        api.get("/v1/jobs", status="nonsense")


def test_pausing_and_resuming_say_that_they_serve_training_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    told = CliRunner().invoke(app, ["jobs", "--help"]).output
    assert [line.count("fine-tuning") for line in told.splitlines() if "--pause" in line or "--resume" in line] == [
        1,
        1,
    ]
