"""What users wrote stands in no log line and in no job's reason, whatever fails: CANARY is such a text."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import openpyxl
import pytest
from celery import Celery
from fastapi.testclient import TestClient
from pydantic import BaseModel, ValidationError
from sqlalchemy import text

from retrieval.documents.loading import load
from retrieval.errors import UnreadableFile
from services.contracts.jobs import INDEX_FILE
from services.database.tables import File, Job, now
from services.domain.data_sets import ANY_NUMBER
from services.domain.jobs import Jobs
from services.gateway.settings import GatewaySettings
from services.kit.logging import JsonLines
from services.kit.telling import told
from services.worker.performing import perform
from tests.gateway_fakes import Gateway
from training.config import ExampleSettings
from training.data.dataset import parse_dataset
from training.data.fitness import check_contradictions, check_examples
from training.errors import InvalidDataset

CANARY = "the-merger-with-Quillon"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that the process logs, as a service writes it."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLines("test"))
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield written
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path)


def test_a_question_whose_answer_cannot_be_written_down_is_not_logged(gateway: Gateway, log: io.StringIO) -> None:
    with gateway.sessions.begin() as session:
        session.execute(text("DROP TABLE turns"))
    http = TestClient(gateway.app, headers={"Authorization": "Bearer one"}, raise_server_exceptions=False)
    body = {"model": "tandem/rag", "messages": [{"role": "user", "content": f"What of {CANARY}?"}]}
    http.post("/v1/chat/completions", json=body)
    http.post("/v1/responses", json={"model": "tandem/rag", "input": f"What of {CANARY}?"})
    assert "OperationalError" in log.getvalue()
    assert CANARY not in log.getvalue()
    assert gateway.model.pieces[0].strip() not in log.getvalue()


def test_what_a_model_says_as_it_fails_is_not_logged(tmp_path: Path, log: io.StringIO) -> None:
    async def model(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(500, json={"error": {"message": f"template error at {CANARY!r}"}})

    http = TestClient(Gateway(tmp_path, model=model).app, headers={"Authorization": "Bearer one"})
    body = {"model": "tandem/rag", "messages": [{"role": "user", "content": f"What of {CANARY}?"}]}
    assert http.post("/v1/chat/completions", json=body).status_code == 503
    assert "broke off" in log.getvalue()
    assert CANARY not in log.getvalue()


def _queued(gateway: Gateway) -> Job:
    with gateway.sessions.begin() as session:
        job = Job(
            id="job-1",
            workspace_id="one",
            kind="index_file",
            status="queued",
            request={},
            deadline_at=now() + timedelta(hours=1),
        )
        session.add(job)
    return job


def _fail_at_a_number(_job: Job, _heartbeat: object) -> dict[str, Any]:
    return {"pages": int(CANARY)}


class _Page(BaseModel):
    number: int


def _fail_at_a_field(_job: Job, _heartbeat: object) -> dict[str, Any]:
    return {"page": _Page.model_validate({"number": CANARY})}


@pytest.mark.parametrize(
    ("work", "reason"), [(_fail_at_a_number, "ValueError at "), (_fail_at_a_field, "number: Input should be a valid")]
)
def test_a_job_that_fails_at_a_text_quotes_none_of_it(
    gateway: Gateway, log: io.StringIO, work: Any, reason: str
) -> None:
    jobs = Jobs(gateway.sessions)
    job = _queued(gateway)
    perform(jobs, job.id, work)
    ended = jobs.find("one", job.id)
    events = [event.message for event in jobs.events("one", job.id)]
    assert ended.status == "failed"
    assert reason in str(ended.reason)
    assert CANARY not in f"{ended.reason} {events} {log.getvalue()}"


def test_a_job_that_cannot_store_its_texts_quotes_none_of_them(gateway: Gateway, log: io.StringIO) -> None:
    def work(job: Job, _heartbeat: object) -> dict[str, Any]:
        with gateway.sessions.begin() as session:
            session.add(File(id=job.id, workspace_id="nowhere", filename=CANARY, purpose="assistants", bytes=1,
                             sha256="", path=CANARY))  # fmt: skip
        return {}

    jobs = Jobs(gateway.sessions)
    job = _queued(gateway)
    perform(jobs, job.id, work)
    reason = str(jobs.find("one", job.id).reason)
    assert "FOREIGN KEY constraint failed" in reason
    assert CANARY not in f"{reason} {log.getvalue()}"


def _letter() -> bytes:
    return f'Subject: hello\nContent-Type: text/plain; charset="{CANARY}"\n\nGood day.\n'.encode()


def _workbook() -> bytes:
    """A sheet with a text in a cell that says it holds a number."""
    book, saved, changed = openpyxl.Workbook(), io.BytesIO(), io.BytesIO()
    book.active["A1"] = 4711
    book.save(saved)
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"<v>4711</v>", f"<v>{CANARY}</v>".encode()))
    return changed.getvalue()


@pytest.mark.parametrize(("name", "data"), [("letter.eml", _letter()), ("book.xlsx", _workbook())])
def test_a_file_that_cannot_be_read_is_not_quoted(name: str, data: bytes) -> None:
    with pytest.raises(UnreadableFile) as error:
        load(data, name)
    assert name in str(error.value)
    assert CANARY not in str(error.value)


def test_examples_that_cannot_be_trained_on_are_named_by_their_lines() -> None:
    row = '{"messages": [{"role": "user", "content": "What of %s?"}, {"role": "assistant", "content": "%s"}]}'
    same = parse_dataset("\n".join(row % (number, CANARY) for number in range(12)).encode())
    with pytest.raises(InvalidDataset, match="line 1") as alike:
        check_examples(same, ExampleSettings())
    at_odds = parse_dataset("\n".join([row % (CANARY, "Yes."), row % (CANARY, "No.")]).encode(), ANY_NUMBER)
    with pytest.raises(InvalidDataset, match="lines 1 and 2") as otherwise:
        check_contradictions(at_odds.examples, [0, 1], [(0, 1)], 0.1)
    assert CANARY not in f"{alike.value} {otherwise.value}"


def test_celerys_words_for_a_task_that_fails_are_told_without_the_text(log: io.StringIO) -> None:
    @Celery("test").task(name=INDEX_FILE)  # type: ignore[untyped-decorator]
    def task() -> None:
        int(CANARY)

    task.apply()
    assert "raised unexpected: ValueError at" in log.getvalue()
    assert CANARY not in log.getvalue()


def test_asyncios_words_for_a_task_that_nobody_asked_are_told_without_the_text(log: io.StringIO) -> None:
    async def work() -> None:
        int(CANARY)

    async def forget() -> None:
        task = asyncio.ensure_future(work())
        await asyncio.wait({task})
        del task
        gc.collect()

    asyncio.run(forget())
    assert "never retrieved" in log.getvalue()
    assert CANARY not in log.getvalue()


def test_an_error_among_a_lines_words_is_told(log: io.StringIO) -> None:
    for message in ("it broke: %s", "%s"):
        try:
            int(CANARY)
        except ValueError as error:
            logging.getLogger("x").warning(message, error)
            logging.getLogger("x").error(error)
    assert log.getvalue().count("ValueError at ") == 4
    assert CANARY not in log.getvalue()


PROGRAM = """
import sys, threading
from services.kit.logging import configure
configure("test")
if sys.argv[1] == "thread":
    thread = threading.Thread(target=int, args=(sys.argv[2],))
    thread.start()
    thread.join()
else:
    int(sys.argv[2])
"""


@pytest.mark.parametrize("where", ["thread", "process"])
def test_an_error_that_ends_a_process_or_a_thread_is_one_line_without_the_text(where: str) -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM, where, CANARY], capture_output=True, text=True, timeout=60)
    assert "ValueError" in run.stderr
    assert len(run.stderr.splitlines()) == 1
    assert CANARY not in run.stderr


def test_a_setting_that_is_wrong_is_still_named() -> None:
    with pytest.raises(ValidationError) as error:
        GatewaySettings(max_waiting=0)
    assert told(error.value) == (
        "ValidationError: GatewaySettings: max_waiting: Input should be greater than or equal to 1"
    )
