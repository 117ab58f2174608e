"""What stands before the routes: the key first, then the size of the body, then the texts in it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import insert, select
from starlette.types import Message

from services.database.tables import ApiKey, File, Store, Turn
from services.domain.keys import SCOPES
from services.gateway.http.bounds import HALF_OR_NUL
from services.kit.texts import place_of_unfit, read_stored_json
from tests.gateway_fakes import Gateway

HALF, LOW_HALF, NUL, PAIR = r"\ud83d", r"\ude00", r"\u0000", r"\ud83d\ude00"
JSON = {"Content-Type": "application/json"}
CHAT, STORES = "/v1/chat/completions", "/v1/vector_stores"
PLACES = {
    "messages.0.content": (CHAT, '{"model": "tandem/rag", "messages": [{"role": "user", "content": "May I %s?"}]}'),
    "messages.1.content.0.text": (
        CHAT,
        '{"messages": [{"role": "system", "content": "Hi"},'
        ' {"role": "user", "content": [{"type": "text", "text": "%s"}]}]}',
    ),
    "model": (CHAT, '{"model": "%s", "messages": [{"role": "user", "content": "Hi"}]}'),
    "stop.1": (CHAT, '{"stop": ["a", "%s"], "messages": [{"role": "user", "content": "Hi"}]}'),
    "vector_store_ids.0": (CHAT, '{"vector_store_ids": ["%s"], "messages": [{"role": "user", "content": "Hi"}]}'),
    "filters.value": (
        STORES + "/vs_one/search",
        '{"query": "q", "filters": {"type": "eq", "key": "k", "value": "%s"}}',
    ),
    "input": ("/v1/responses", '{"input": "%s"}'),
    "metadata.team": (STORES, '{"name": "Legal", "metadata": {"team": "%s"}}'),
    "name": (STORES, '{"name": "%s"}'),
    "attributes.author": (STORES + "/vs_one/files", '{"file_id": "file-1", "attributes": {"author": "%s"}}'),
    "correction": ("/v1/feedback", '{"answer_id": "chatcmpl-1", "rating": "down", "correction": "%s"}'),
    "prompt.0.content": ("/v1/examples", '{"kind": "example", "prompt": [{"role": "user", "content": "%s"}]}'),
    "suffix": ("/v1/fine_tuning/jobs", '{"model": "default", "training_file": "file-1", "suffix": "%s"}'),
}


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    made = Gateway(tmp_path)
    with made.sessions.begin() as session:
        session.get_one(ApiKey, "key-one").scopes = list(SCOPES)
    return made


@pytest.fixture
def http(gateway: Gateway) -> Iterator[TestClient]:
    with TestClient(gateway.app, headers={"Authorization": "Bearer one"}, raise_server_exceptions=False) as client:
        yield client


def error_of(response: Any) -> dict[str, Any]:
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def test_half_a_surrogate_pair_or_nul_is_a_400_that_names_its_place(http: TestClient) -> None:
    for place, (path, body) in PLACES.items():
        for unfit in (HALF, LOW_HALF, NUL, LOW_HALF + HALF):
            response = http.post(path, content=body % unfit, headers=JSON)
            assert (response.status_code, error_of(response)["param"]) == (400, place), (place, unfit)


def test_a_key_of_an_object_is_named_too_and_nothing_is_stored(http: TestClient, gateway: Gateway) -> None:
    response = http.post(STORES, content=r'{"metadata": {"te\ud83dam": "legal"}}', headers=JSON)
    assert response.status_code == 400
    assert error_of(response)["param"] == r"metadata.te\ud83dam"
    with gateway.sessions() as session:
        assert {store.name for store in session.scalars(select(Store))} == {"one", "two"}


def test_whole_pairs_and_escaped_backslashes_pass_as_they_are(http: TestClient) -> None:
    text = r"C:\users and \ud83d, spelled out, and 😀, 한국어"
    for ascii_only in (True, False):
        body = json.dumps({"name": text}, ensure_ascii=ascii_only)
        made = http.post(STORES, content=body.encode(), headers=JSON)
        assert made.status_code == 200, made.text
        assert made.json()["name"] == text


@pytest.mark.parametrize(
    "raw", [b'{"name": "caf\xe9"}', b'{"name": "\xed\xa0\xbd"}', '{"name": "x"}'.encode("utf-16-le")]
)
def test_a_body_that_is_not_utf8_is_a_400_that_names_the_byte(http: TestClient, raw: bytes) -> None:
    response = http.post(STORES, content=raw, headers=JSON)
    assert response.status_code == 400
    assert "byte" in error_of(response)["message"]


def test_nul_in_a_query_or_a_path_is_a_400(http: TestClient) -> None:
    response = http.get(STORES + "?after=vs%00")
    assert (response.status_code, error_of(response)["param"]) == (400, "after")
    assert http.get(STORES + "/vs%00").status_code == 400


def test_an_uploads_name_that_no_utf8_can_hold_is_a_400_and_leaves_no_file(http: TestClient, gateway: Gateway) -> None:
    form = "\r\n".join(
        [
            "--b", 'Content-Disposition: form-data; name="purpose"', "", "assistants",
            "--b", r'Content-Disposition: form-data; name="file"; filename="\ud83d.md"', "", "Nine.", "--b--", "",
        ]
    )  # fmt: skip
    headers = {"Content-Type": "multipart/form-data; boundary=b; charset=raw_unicode_escape"}
    response = http.post("/v1/files", content=form.encode(), headers=headers)
    assert (response.status_code, error_of(response)["param"]) == (400, "file")
    with gateway.sessions() as session:
        assert session.scalars(select(File)).all() == []


def test_rows_that_hold_half_a_pair_already_break_no_list(http: TestClient, gateway: Gateway) -> None:
    half = "team \ud83d"
    with gateway.sessions.begin() as session:
        session.execute(insert(Store).values(id="vs_bad", workspace_id="one", name="bad", details={half: half}))
        session.execute(
            insert(Turn).values(
                id="chatcmpl-bad", workspace_id="one", model="tandem/rag", mode="rag", question="Q", answer="A",
                messages=[{"role": "user", "content": half}], passages=[], citations=[], timings={}, versions={},
            )
        )  # fmt: skip
    listed = http.get(STORES)
    assert listed.status_code == 200
    assert {"team \ufffd": "team \ufffd"} in [store["metadata"] for store in listed.json()["data"]]
    assert http.get(STORES + "/vs_bad").status_code == 200
    assert http.get("/v1/answers/chatcmpl-bad").json()["messages"][0]["content"] == "team \ufffd"


def test_stored_json_is_mended_as_both_databases_hand_it_over() -> None:
    stored = r'{"a": ["\ud83d", "\ud83d\ude00", "한국어"], "b": "x\u0000y"}'
    for handed in (stored, stored.encode()):
        assert read_stored_json(handed) == {"a": ["\ufffd", "😀", "한국어"], "b": "x\ufffdy"}


PIECES = [HALF, LOW_HALF, PAIR, NUL, "\\\\", "\\n", "u", "ud83d", "x", r"\u0041", r"\uD83D", r"\uDE00", "\\\\u0000"]


def test_the_quick_look_at_the_bytes_misses_nothing_that_a_parser_finds() -> None:
    """Every row of up to four pieces: what is unfit once parsed was seen in the bytes."""
    rows = [""]
    for _ in range(4):
        rows += [row + piece for row in rows for piece in PIECES if len(row) < 40]
    for row in set(rows):
        body = f'"{row}"'
        if place_of_unfit(json.loads(body)):
            assert HALF_OR_NUL.search(body.encode()), row
    assert not HALF_OR_NUL.search(json.dumps("😀 한국어 naïve\n").encode())


def test_nothing_of_a_body_is_read_without_a_key_that_is_known(gateway: Gateway) -> None:
    async def receive() -> Message:
        raise AssertionError("the body was read")

    async def status(path: str, authorization: bytes) -> int:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"1000"),
            (b"authorization", authorization),
        ]
        scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
                 "headers": headers, "http_version": "1.1", "scheme": "http", "root_path": ""}  # fmt: skip
        await gateway.app(scope, receive, send)
        return int(sent[0]["status"])

    for path in (CHAT, "/v1/files", "/v1/embeddings", STORES):
        assert asyncio.run(status(path, b"")) == 401
        assert asyncio.run(status(path, b"Bearer unknown")) == 401
        assert asyncio.run(status(path, b"Basic one")) == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_bearer_is_taken_in_any_case(gateway: Gateway, scheme: str) -> None:
    assert TestClient(gateway.app).get("/v1/models", headers={"Authorization": f"{scheme} one"}).status_code == 200


def test_health_and_metrics_need_no_key(gateway: Gateway) -> None:
    open_to_all = TestClient(gateway.app)
    assert open_to_all.get("/health").status_code == 200
    assert open_to_all.get("/metrics").status_code == 200


BOUNDS = {
    CHAT: (2**20, "gateway.max_json_bytes"),
    STORES: (2**20, "gateway.max_json_bytes"),
    "/v1/embeddings": (2**24, "gateway.max_embeddings_bytes"),
    "/v1/files": (2**26, "gateway.max_body_bytes"),
}


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_beyond_its_bound_is_a_413_that_names_the_setting(http: TestClient, declared: bool) -> None:
    def parts(most: int) -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.md"\r\n\r\n'
        for _ in range(most // 2**20 + 1):
            yield b" " * 2**20

    for path, (most, setting) in BOUNDS.items():
        headers = {"Content-Type": "multipart/form-data; boundary=b"} if path == "/v1/files" else JSON
        response = http.post(path, content=b"".join(parts(most)) if declared else parts(most), headers=headers)
        assert (response.status_code, error_of(response)["code"]) == (413, "body_too_large"), path
        assert setting in error_of(response)["message"]


@pytest.mark.parametrize(("path", "byte"), [("/v1/embeddings/", b" "), ("/v1/files/", b"\xff")])
def test_a_slash_at_the_end_of_an_address_changes_no_bound(http: TestClient, path: str, byte: bytes) -> None:
    response = http.post(path, content=byte * 4 * 2**20, headers=JSON, follow_redirects=False)
    assert (response.status_code, response.headers["location"]) == (307, f"http://testserver{path[:-1]}")


@pytest.mark.parametrize(
    ("body", "words"),
    [(b'{"name": "x"', "character 12: Expecting ',' delimiter"), (b'{"name": "x"}}', "character 13: Extra data")],
)
def test_a_body_that_is_not_json_is_told_in_words(http: TestClient, body: bytes, words: str) -> None:
    error = error_of(http.post(STORES, content=body, headers=JSON))
    assert (error["message"], error["param"]) == (f"The request body is not JSON ({words}).", None)


def test_a_method_that_an_address_does_not_know_is_no_fault_of_the_server(http: TestClient) -> None:
    response = http.put("/v1/models", json={})
    assert (response.status_code, error_of(response)["type"]) == (405, "invalid_request_error")


DEEP = "[" * 200 + "]" * 200
EXAMPLE = '{"prompt": [{"role": "user", "content": "May I?"}], "answer": "Yes.", "metadata": {"scores": [%s]}}'
SCHEMA = (
    '{"messages": [{"role": "user", "content": "May I?"}], "response_format": {"type": "json_schema",'
    ' "json_schema": {"name": "n", "schema": {"maximum": %s}}}}'
)
SOURCE = '{"kind": "folder", "location": "/srv/handbooks", "attributes": {"year": %s}}'


@pytest.mark.parametrize(("path", "body"), [("/v1/examples", EXAMPLE), (CHAT, SCHEMA), ("/v1/sources", SOURCE)])
@pytest.mark.parametrize("value", ["NaN", "-Infinity", "1e400", DEEP])
def test_json_that_cannot_be_stored_or_sent_on_is_a_400_and_breaks_no_list(
    http: TestClient, gateway: Gateway, path: str, body: str, value: str
) -> None:
    response = http.post(path, content=body % value, headers=JSON)
    assert response.status_code == 400
    assert "source_refused" not in error_of(response)["code"]
    assert gateway.model.bodies == []
    assert http.get("/v1/examples").json()["data"] == []


@pytest.mark.parametrize("operator", ["eq", "gt"])
def test_a_filter_on_a_number_of_400_digits_is_a_400(http: TestClient, operator: str) -> None:
    body = f'{{"query": "q", "filters": {{"type": "{operator}", "key": "year", "value": 1{"0" * 400}}}}}'
    response = http.post(STORES + "/vs_one/search", content=body, headers=JSON)
    assert (response.status_code, error_of(response)["param"]) == (400, "filters")


def test_texts_to_embed_may_be_larger_than_other_json(http: TestClient) -> None:
    response = http.post("/v1/embeddings", json={"input": ["A bike. " * 200_000], "model": "x"})
    assert response.status_code != 413


@pytest.mark.parametrize("mode", ["tandem/rag", "tandem/base"])
def test_a_question_that_is_too_long_is_a_400_in_every_mode_and_shape(
    http: TestClient, gateway: Gateway, mode: str
) -> None:
    letter = "Dear Sir or Madam, " * 1200
    chat = http.post(CHAT, json={"model": mode, "messages": [{"role": "user", "content": letter}]})
    assert (chat.status_code, error_of(chat)["param"]) == (400, "messages")
    assert "gateway.max_question_characters" in error_of(chat)["message"]
    answer = http.post("/v1/responses", json={"model": mode, "input": letter})
    assert (answer.status_code, error_of(answer)["param"]) == (400, "input")
    assert http.post(STORES + "/vs_one/search", json={"query": letter}).status_code == 400
    assert gateway.retrieval.asked == []
    assert gateway.model.bodies == []


def test_a_long_letter_is_still_a_question(http: TestClient) -> None:
    letter = ("Dear Sir or Madam, " * 1200)[:20_000]
    chat = http.post(CHAT, json={"model": "tandem/rag", "messages": [{"role": "user", "content": letter}]})
    assert chat.status_code == 200


def test_the_list_of_models_is_had_with_a_slash_at_its_end(http: TestClient) -> None:
    assert http.get("/v1/models/").json() == http.get("/v1/models").json()


def test_an_event_that_there_cannot_be_is_a_404(http: TestClient) -> None:
    for after in ("ftevent-²", "ftevent-٣", "ftevent-", "ftevent-99999999999999999999", "nonsense"):
        events = http.get("/v1/fine_tuning/jobs/ftjob-1/events", params={"after": after})
        assert (events.status_code, error_of(events)["param"]) == (404, "after")
        history = http.get("/v1/versions/history", params={"after": after.replace("ftevent-", "pub-")})
        assert (history.status_code, error_of(history)["param"]) == (404, "after")
