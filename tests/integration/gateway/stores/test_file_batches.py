"""File batches through the stock `openai` package, its own polling helpers among it."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.knowledge import Knowledge

FILES = {
    "good.md": b"# Gate\n\nThe gate code is changed every Monday.",
    "fine.txt": b"The gate opens at six.",
    "corrupt.pdf": b"%PDF-1.7 and then nothing of the kind",
    "program.exe": b"MZ\x00\x01",
}


@pytest.fixture
def store(client: OpenAI) -> str:
    return client.vector_stores.create().id


def upload(client: OpenAI, name: str, content: bytes = b"# Gate\n\nThe gate code.") -> str:
    return client.files.create(file=(name, content), purpose="assistants").id


def test_a_batch_half_of_whose_files_fail_reports_counts_and_reasons_and_goes_on(client: OpenAI, store: str) -> None:
    ids = {name: upload(client, name, content) for name, content in FILES.items()}
    batch = client.vector_stores.file_batches.create_and_poll(store, file_ids=list(ids.values()))
    assert batch.status == "completed"
    assert batch.file_counts.to_dict() == {"in_progress": 0, "completed": 2, "failed": 2, "cancelled": 0, "total": 4}
    failed = client.vector_stores.file_batches.list_files(batch.id, vector_store_id=store, filter="failed")
    errors = {file.id: file.last_error for file in failed}
    corrupt, program = errors[ids["corrupt.pdf"]], errors[ids["program.exe"]]
    assert corrupt is not None
    assert program is not None
    assert (corrupt.code, program.code) == ("invalid_file", "unsupported_file")
    assert "corrupt.pdf" in corrupt.message
    assert ".exe" in program.message
    found = client.vector_stores.search(store, query="gate")
    assert {hit.filename for hit in found} == {"good.md", "fine.txt"}


def test_a_batch_all_of_whose_files_fail_has_failed(client: OpenAI, store: str) -> None:
    batch = client.vector_stores.file_batches.create_and_poll(store, file_ids=[upload(client, "a.exe", b"MZ")])
    assert (batch.status, batch.file_counts.failed) == ("failed", 1)


def test_a_fault_of_the_servers_own_is_called_one(
    desk: Knowledge, client: OpenAI, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_texts: Any) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(desk.embedder, "embed", fail)
    file = client.vector_stores.files.create_and_poll(upload(client, "a.md"), vector_store_id=store)
    assert file.status == "failed"
    assert file.last_error is not None
    assert file.last_error.code == "server_error"


def test_files_may_be_uploaded_and_polled_in_one_call(client: OpenAI, store: str) -> None:
    held = upload(client, "held.md", b"# Held\n\nHeld before.")
    batch = client.vector_stores.file_batches.upload_and_poll(
        store, files=[("one.md", b"# One\n\nFirst."), ("two.md", b"# Two\n\nSecond.")], file_ids=[held]
    )
    assert (batch.status, batch.file_counts.completed) == ("completed", 3)


def test_each_file_of_a_batch_may_have_attributes_and_sizes_of_its_own(client: OpenAI, store: str) -> None:
    long = b"# Long\n\n" + b"A sentence of seven words stands here. " * 60
    static: Any = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 10}}
    own, plain = upload(client, "own.md", long), upload(client, "plain.md", long)
    client.vector_stores.file_batches.create_and_poll(
        store,
        files=[
            {"file_id": own, "attributes": {"team": "legal"}, "chunking_strategy": static},
            {"file_id": plain, "attributes": {"team": "sales", "year": 2026}},
        ],
    )
    files: dict[str, Any] = {file.id: file for file in client.vector_stores.files.list(store)}
    assert files[own].chunking_strategy.static.max_chunk_size_tokens == 100
    assert files[plain].chunking_strategy.static.max_chunk_size_tokens == 160
    assert files[plain].attributes == {"team": "sales", "year": 2026}
    legal = client.vector_stores.search(
        store, query="sentence", filters={"type": "eq", "key": "team", "value": "legal"}
    )
    assert {hit.filename for hit in legal} == {"own.md"}


def test_attributes_given_beside_file_ids_are_every_files(client: OpenAI, store: str) -> None:
    ids = [upload(client, f"{n}.md") for n in range(2)]
    client.vector_stores.file_batches.create_and_poll(store, file_ids=ids, attributes={"team": "legal"})
    assert [file.attributes for file in client.vector_stores.files.list(store)] == [{"team": "legal"}] * 2


def test_a_cancelled_batch_keeps_what_is_done_and_stops_the_rest(desk: Knowledge, client: OpenAI, store: str) -> None:
    done = upload(client, "done.md", b"# Done\n\nThe gate is done.")
    client.vector_stores.files.create_and_poll(done, vector_store_id=store)
    waiting = [upload(client, f"{n}.md", b"# Waiting\n\nThe gate waits.") for n in range(3)]
    with desk.worker.hold():
        batch = client.vector_stores.file_batches.create(store, file_ids=[done, *waiting])
        assert (batch.status, batch.file_counts.in_progress, batch.file_counts.completed) == ("in_progress", 3, 1)
        cancelled = client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store)
        assert (cancelled.status, cancelled.file_counts.cancelled) == ("cancelled", 3)
    desk.worker.settle()
    polled = client.vector_stores.file_batches.poll(batch.id, vector_store_id=store)
    assert polled.file_counts.to_dict() == {"in_progress": 0, "completed": 1, "failed": 0, "cancelled": 3, "total": 4}
    assert {hit.filename for hit in client.vector_stores.search(store, query="gate")} == {"done.md"}
    again = client.vector_stores.file_batches.create_and_poll(store, file_ids=waiting)
    assert (again.status, again.file_counts.completed) == ("completed", 3)


def test_cancelling_a_batch_that_has_ended_changes_nothing(client: OpenAI, store: str) -> None:
    batch = client.vector_stores.file_batches.create_and_poll(store, file_ids=[upload(client, "a.md")])
    again = client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store)
    assert (again.status, again.file_counts.completed) == ("completed", 1)


def test_a_batchs_files_are_paged(client: OpenAI, store: str) -> None:
    other = upload(client, "other.md")
    client.vector_stores.files.create_and_poll(other, vector_store_id=store)
    ids = [upload(client, f"{n}.md") for n in range(5)]
    batch = client.vector_stores.file_batches.create_and_poll(store, file_ids=ids)
    listed = client.vector_stores.file_batches.list_files(batch.id, vector_store_id=store, limit=2, order="asc")
    assert len(listed.data) == 2
    assert {file.id for file in listed} == set(ids)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({}, "either file_ids or files"),
        ({"file_ids": ["a"], "files": [{"file_id": "a"}]}, "either file_ids or files"),
        ({"file_ids": []}, "file_ids"),
        ({"file_ids": ["a", "a"]}, "twice"),
        ({"file_ids": ["a"] * 2001}, "2000"),
        ({"files": [{"file_id": "a"}], "attributes": {"k": 1}}, "each file"),
        ({"files": [{"file_id": "a", "attributes": {"k": "v" * 513}}]}, "513"),
    ],
)
def test_a_malformed_batch_is_refused(client: OpenAI, store: str, body: dict[str, Any], problem: str) -> None:
    with pytest.raises(openai.BadRequestError, match=problem):
        client.vector_stores.file_batches.create(store, extra_body=body)


def test_a_batch_that_names_an_unknown_file_attaches_none(client: OpenAI, store: str) -> None:
    with pytest.raises(openai.NotFoundError, match="file-none"):
        client.vector_stores.file_batches.create(store, file_ids=[upload(client, "a.md"), "file-none"])
    assert client.vector_stores.files.list(store).data == []
