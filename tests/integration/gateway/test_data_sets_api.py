"""Data sets through the public API: the stock `openai` package uploads, and what it is told is in OpenAI's shape."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from services.database.tables import Version
from services.domain.data_sets import FrozenSets
from services.domain.jobs import Jobs
from services.domain.lineage import add_version_origins
from services.worker.data_sets.examine import run_claimed
from tests.knowledge import Knowledge, knowledge

Pair = tuple[str, str]
THINGS = ["bell", "lamp", "lock", "pump", "seat", "tyre", "chain", "pedal", "fork", "hub", "rim", "stand"]
GOOD: list[Pair] = [(f"What does the {one} cost?", f"The {one} costs {n} pounds.") for n, one in enumerate(THINGS)]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Knowledge]:
    with pytest.MonkeyPatch.context() as patch, knowledge(tmp_path_factory.mktemp("data-sets"), patch) as running:
        yield running


@pytest.fixture(scope="module")
def client(desk: Knowledge) -> OpenAI:
    return desk.client("one")


def lines(pairs: Sequence[Pair]) -> bytes:
    return "\n".join(json.dumps({"instruction": asked, "output": said}) for asked, said in pairs).encode()


def upload(client: OpenAI, content: bytes, name: str = "examples.jsonl") -> str:
    return client.files.create(file=(name, content), purpose="fine-tune").id


def ask(client: OpenAI, method: str, path: str, **options: Any) -> Any:
    """A call that OpenAI's package has no name for."""
    return client._client.request(method, f"/v1{path}", headers=client.auth_headers, **options)


def test_a_bad_line_is_named_at_upload(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=r'line 2: "output" has no text') as caught:
        upload(client, lines(GOOD[:1]) + b'\n{"instruction": "Q", "output": ""}')
    assert (caught.value.code, caught.value.param) == ("invalid_training_file", "file")


BAD: list[tuple[list[Pair], str]] = [
    (GOOD[:9], "has 9 examples; at least 10 are needed"),
    ([(asked, "Ask the desk.") for asked, _ in GOOD], "All 12 examples have the same answer"),
    ([*GOOD, *((asked.upper(), "It is free.") for asked, _ in GOOD)], "24 of 24 examples ask the same as another"),
]


@pytest.mark.parametrize(("pairs", "reason"), BAD)
def test_a_job_on_what_cannot_be_trained_on_is_refused_and_none_is_made(
    client: OpenAI, pairs: list[Pair], reason: str
) -> None:
    before = len(client.fine_tuning.jobs.list(limit=100).data)
    file = upload(client, lines(pairs))
    with pytest.raises(openai.BadRequestError, match=reason) as caught:
        client.fine_tuning.jobs.create(model="base", training_file=file)
    assert (caught.value.code, caught.value.param) == ("invalid_training_file", "training_file")
    assert len(client.fine_tuning.jobs.list(limit=100).data) == before


def test_a_data_set_is_frozen_once_examined_and_found_again(desk: Knowledge, client: OpenAI) -> None:
    first = ask(client, "POST", "/data_sets", json={"file_id": upload(client, lines(GOOD)), "name": "prices"}).json()
    assert (first["name"], first["version"], first["examples"], first["report"]) == ("prices", 1, 12, None)
    claim = Jobs(desk.sessions).claim(first["job_id"])
    assert claim is not None
    frozen = FrozenSets(desk.sessions, str(Path(desk.gateway_parts.files._root)))
    run_claimed(claim.id, desk.sessions, frozen, lambda: lambda ones: [9 for _ in ones])
    found = ask(client, "GET", f"/data_sets/{first['id']}").json()
    assert found["report"]["to_50"] == 38
    assert found["report"]["lengths"]["tokens"]["p95"] == 9
    messages = [{"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]} for q, a in GOOD]
    same = upload(client, json.dumps(messages, indent=1).encode(), "other.json")
    again = ask(client, "POST", "/data_sets", json={"file_id": same, "name": "prices"}).json()
    assert again == found
    more = upload(client, lines([*GOOD, ("Is it open?", "Yes.")]))
    assert ask(client, "POST", "/data_sets", json={"file_id": more, "name": "prices"}).json()["version"] == 2
    assert found["id"] in [one["id"] for one in ask(client, "GET", "/data_sets").json()["data"]]


def test_a_file_of_another_purpose_and_an_unknown_field_are_refused(client: OpenAI) -> None:
    file = client.files.create(file=("a.md", b"# A"), purpose="assistants").id
    answer = ask(client, "POST", "/data_sets", json={"file_id": file})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "file_id")
    answer = ask(client, "POST", "/data_sets", json={"file_id": file, "uses": "evaluation"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "uses")


def test_deleting_a_file_names_the_data_sets_and_versions_that_hold_its_text(desk: Knowledge, client: OpenAI) -> None:
    file = upload(client, lines([*GOOD, ("What is new?", "This.")]), "lineage.jsonl")
    made = ask(client, "POST", "/data_sets", json={"file_id": file}).json()
    _record_version(desk, made["id"])
    asked = ask(client, "GET", f"/files/{file}/lineage").json()
    deleted = ask(client, "DELETE", f"/files/{file}").json()
    assert deleted["lineage"] == asked == ask(client, "GET", f"/files/{file}/lineage").json()
    assert [(one["id"], one["name"], one["how"]) for one in asked["data_sets"]] == [
        (made["id"], "lineage", ["examples"])
    ]
    assert [(one["id"], one["live"], one["how"]) for one in asked["versions"]] == [("ver-l", False, ["examples"])]
    assert ask(client, "DELETE", f"/data_sets/{made['id']}").json()["deleted"]
    assert ask(client, "GET", f"/data_sets/{made['id']}").status_code == 404
    left = ask(client, "GET", f"/files/{file}/lineage").json()
    assert (left["data_sets"], len(left["versions"])) == ([], 1)


def _record_version(desk: Knowledge, data_set_id: str) -> None:
    with desk.sessions.begin() as session:
        session.add(
            Version(
                id="ver-l",
                workspace_id="one",
                name="ft:base:l:1",
                base_model="base",
                path="",
                dataset_hash="",
                template_fingerprint="",
                settings={},
                status="published",
            )
        )
        add_version_origins(session, "one", "ver-l", {"dataset": {"data_set_id": data_set_id}})
