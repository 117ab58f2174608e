"""Wrong input gets a clear error in OpenAI's shape; the batch goes on and nothing stored is lost."""

from __future__ import annotations

import hashlib
import io
import secrets
from typing import Any

import fpdf
import httpx
import openai
import pypdf
import pytest
from openai import OpenAI

from harness.platform import RunningPlatform
from services.database.engine import open_sessions
from services.database.tables import ApiKey, Workspace


@pytest.fixture(scope="module")
def stranger(platform: RunningPlatform) -> OpenAI:
    """A client whose key belongs to another workspace."""
    key = f"sk-tandem-{secrets.token_urlsafe(32)}"
    with open_sessions(f"sqlite:///{platform.home}/tandem.db").begin() as session:
        session.add(Workspace(id="elsewhere", name="elsewhere"))
        session.flush()
        session.add(api_key("elsewhere", key, ["ask", "knowledge", "voice", "operate"], 600))
    return platform.openai(key)


def api_key(workspace_id: str, key: str, scopes: list[Any], requests_per_minute: int) -> ApiKey:
    return ApiKey(
        id=f"key_{secrets.token_hex(8)}",
        workspace_id=workspace_id,
        name="test",
        digest=hashlib.sha256(key.encode()).hexdigest(),
        prefix=key[:14],
        scopes=scopes,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=1_000_000,
    )


def simple_pdf() -> bytes:
    document = fpdf.FPDF()
    document.add_page()
    document.set_font("helvetica", size=12)
    document.cell(text="The gate code is changed every Monday.")
    return bytes(document.output())


def encrypted_pdf() -> bytes:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(simple_pdf()))
    writer.encrypt("secret", algorithm="RC4-128")
    target = io.BytesIO()
    writer.write(target)
    return target.getvalue()


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error of a response, in OpenAI's shape whole."""
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return error


def test_bad_files_fail_one_by_one_and_the_batch_goes_on(platform: RunningPlatform) -> None:
    client = platform.openai()
    store = client.vector_stores.create(name="mixed")
    files = {
        "corrupt.pdf": b"%PDF-1.7 and then nothing of the kind",
        "locked.pdf": encrypted_pdf(),
        "picture.md": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8,
        "binary.txt": b"\x00\xff\xfe\x00" * 400,
        "good.md": b"# Gate\n\nThe gate code is changed every Monday.",
    }
    outcome = {}
    for name, content in files.items():
        uploaded = client.files.create(file=(name, content), purpose="assistants")
        client.vector_stores.files.create(store.id, file_id=uploaded.id)
        outcome[name] = uploaded.id
    results = {name: platform.wait_for_file(store.id, file_id) for name, file_id in outcome.items()}
    assert {name for name, file in results.items() if file.status == "completed"} == {"good.md"}
    for name in set(files) - {"good.md"}:
        assert results[name].last_error.message, name
    found = client.vector_stores.search(store.id, query="gate code")
    assert [entry.filename for entry in found.data] == ["good.md"]
    client.vector_stores.delete(store.id)


def test_an_empty_file_is_refused_at_upload(platform: RunningPlatform) -> None:
    with pytest.raises(openai.BadRequestError, match="empty"):
        platform.openai().files.create(file=("empty.md", b""), purpose="assistants")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"messages": [{"role": "user", "content": "Hello?"}]}\n' * 12, "line 1"),
        (
            b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\nnot json\n',
            "line 2",
        ),
        (b"\xff\xfe broken", "UTF-8"),
    ],
)
def test_a_bad_training_line_is_named_at_upload(platform: RunningPlatform, content: bytes, problem: str) -> None:
    with pytest.raises(openai.BadRequestError, match=problem):
        platform.openai().files.create(file=("bad.jsonl", content), purpose="fine-tune")


def test_a_question_longer_than_the_context_is_refused(platform: RunningPlatform) -> None:
    endless = "Why is the sky blue today? " * 700  # a letter of 19,000 characters, and more than 4,000 tokens
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError, match="does not fit") as caught:
            platform.openai().chat.completions.create(
                model="tandem/rag", messages=[{"role": "user", "content": endless}], stream=stream
            )
        assert caught.value.code == "context_length_exceeded"


def test_an_unknown_mode_is_a_404_that_names_the_known_ones(platform: RunningPlatform) -> None:
    with pytest.raises(openai.NotFoundError, match="tandem/rag"):
        platform.openai().chat.completions.create(model="tandem/psychic", messages=[{"role": "user", "content": "Hi"}])


@pytest.mark.parametrize("key", ["", "sk-tandem-wrong"])
def test_no_key_and_a_wrong_key_are_refused_on_every_route(platform: RunningPlatform, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx.Client(base_url=platform.gateway_url, headers=headers) as http:
        paths = http.get("/openapi.json").json()["paths"]
        for path, methods in paths.items():
            if not path.startswith("/v1"):
                continue
            for method in methods:
                response = http.request(method, path.replace("{", "").replace("}", ""), json={})
                assert response.status_code == 401, (method, path)
                assert error_of(response)["type"] == "authentication_error"


def test_a_key_without_the_scope_is_refused(platform: RunningPlatform) -> None:
    key = f"sk-tandem-{secrets.token_urlsafe(32)}"
    with open_sessions(f"sqlite:///{platform.home}/tandem.db").begin() as session:
        session.add(api_key("default", key, ["ask"], 600))
    with pytest.raises(openai.PermissionDeniedError, match="knowledge"):
        platform.openai(key).vector_stores.create(name="mine")


def test_a_keys_limit_is_429_with_retry_after(platform: RunningPlatform) -> None:
    key = f"sk-tandem-{secrets.token_urlsafe(32)}"
    with open_sessions(f"sqlite:///{platform.home}/tandem.db").begin() as session:
        session.add(api_key("default", key, ["ask"], 3))
    client = platform.openai(key)
    for _ in range(3):
        client.embeddings.create(model="any", input="gate")
    with pytest.raises(openai.RateLimitError, match="requests a minute") as caught:
        client.embeddings.create(model="any", input="gate")
    assert int(caught.value.response.headers["retry-after"]) <= 60
    assert client.models.list().data


def test_a_body_beyond_the_limit_is_refused(platform: RunningPlatform) -> None:
    with platform.http() as http:
        response = http.post("/v1/chat/completions", content=b"x" * (70 * 2**20))
    assert response.status_code == 413
    assert error_of(response)["code"] == "body_too_large"


def test_another_workspaces_ids_do_not_exist(platform: RunningPlatform, stranger: OpenAI) -> None:
    client = platform.openai()
    file = client.files.create(file=("mine.md", b"# Mine\n\nOnly mine."), purpose="assistants")
    store = platform.default_store()
    attempts = (
        lambda: stranger.files.retrieve(file.id),
        lambda: stranger.files.content(file.id),
        lambda: stranger.files.delete(file.id),
        lambda: stranger.vector_stores.search(store, query="refund"),
        lambda: stranger.vector_stores.files.create(store, file_id=file.id),
        lambda: stranger.vector_stores.delete(store),
        lambda: stranger.chat.completions.create(
            model="tandem/rag",
            messages=[{"role": "user", "content": "refund?"}],
            extra_body={"vector_store_ids": [store]},
        ),
    )
    for attempt in attempts:
        with pytest.raises(openai.NotFoundError):
            attempt()
    assert stranger.vector_stores.list().data == []
    assert client.files.retrieve(file.id).id == file.id
    client.files.delete(file.id)


def test_a_question_that_nothing_answers_is_refused_without_citations(
    platform: RunningPlatform, stranger: OpenAI
) -> None:
    answer: Any = stranger.chat.completions.create(
        model="tandem/rag", messages=[{"role": "user", "content": "What is the refund period?"}]
    )
    assert answer.choices[0].message.content == "The documents do not answer this question."
    assert answer.choices[0].message.citations == []


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": ""}]}, None),
        ({"messages": [{"role": "user", "content": "Hi"}], "temperature": 9}, "temperature"),
        ({"messages": [{"role": "user", "content": "Hi"}], "n": 2}, "n"),
        ({"messages": [{"role": "user", "content": "Hi"}], "tools": [{}]}, "tools"),
    ],
)
def test_a_body_of_the_wrong_shape_is_a_400(platform: RunningPlatform, body: dict[str, Any], param: str | None) -> None:
    with platform.http() as http:
        response = http.post("/v1/chat/completions", json={"model": "tandem/base", **body})
    assert response.status_code == 400
    assert error_of(response)["param"] == param
