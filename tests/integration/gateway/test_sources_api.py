"""The calls on sources, over the real gateway and database; the broker is absent, so jobs wait."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from services.database.engine import Sessions, migrate, open_sessions
from services.database.tables import ApiKey, File, Job, Source, SourceDocument, Store, StoreFile, Workspace
from services.domain.keys import digest
from services.gateway.app import create_app
from services.gateway.parts import Connections, make_parts
from services.gateway.settings import Settings
from services.kit.queue import make_celery, redis_client
from services.kit.settings import Platform, SourceSettings

NO_BROKER = "redis+socket://:x@/nonexistent/broker.sock"


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    url = f"sqlite:///{tmp_path}/tandem.db"
    migrate(url)
    opened = open_sessions(url)
    keys = (("operator", "w1", ["operate"]), ("reader", "w1", ["ask", "knowledge"]), ("other", "w2", ["operate"]))
    with opened.begin() as session:
        session.add_all([Workspace(id="w1", name="One"), Workspace(id="w2", name="Two")])
        session.flush()
        session.add_all([Store(id=f"s{one}", workspace_id=f"w{one}", name="Docs", is_default=True) for one in (1, 2)])
        for name, workspace, scopes in keys:
            session.add(ApiKey(id=name, workspace_id=workspace, name=name, digest=digest(name), prefix=name,
                               scopes=scopes, requests_per_minute=600, tokens_per_minute=1000))  # fmt: skip
    return opened


@pytest.fixture
def http(tmp_path: Path, sessions: Sessions) -> Iterator[TestClient]:
    (tmp_path / "srv" / "docs").mkdir(parents=True)
    nobody = httpx.MockTransport(lambda _request: httpx.Response(503))
    allowed = SourceSettings(folders=[str(tmp_path / "srv")], private_hosts=["listed.test"])
    settings = Settings(Platform(home=tmp_path), sources=allowed)
    connections = Connections(
        sessions=sessions,
        retrieval=httpx.AsyncClient(transport=nobody),
        generation=httpx.AsyncClient(transport=nobody),
        celery=make_celery(NO_BROKER),
        counters=redis_client(NO_BROKER),
    )
    app = create_app(settings.gateway, make_parts(settings, connections))
    with TestClient(app, headers={"Authorization": "Bearer operator"}) as client:
        yield client


def create(http: TestClient, tmp_path: Path, **more: Any) -> dict[str, Any]:
    body = {"kind": "folder", "location": str(tmp_path / "srv" / "docs"), **more}
    answer = http.post("/v1/sources", json=body)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def add_document(sessions: Sessions, source_id: str, key: str, status: str) -> None:
    with sessions.begin() as session:
        session.add(File(id=key, workspace_id="w1", filename=key, purpose="assistants", bytes=1, sha256="a", path="/x"))
        session.flush()
        session.add(StoreFile(store_id="s1", file_id=key, workspace_id="w1", revision=1, status=status, error=None))
        session.add(SourceDocument(source_id=source_id, key=key, workspace_id="w1", sha256="a", size=1, file_id=key))


def test_a_source_is_registered_listed_changed_and_removed(http: TestClient, tmp_path: Path) -> None:
    schedule = {"cron": "0 3 * * *", "time_zone": "Europe/Berlin"}
    made = create(http, tmp_path, name="Handbook", include=["*.md"], schedule=schedule, attributes={"team": "a"})
    assert (made["vector_store_id"], made["schedule"], made["include"]) == ("s1", schedule, ["*.md"])
    assert [source["id"] for source in http.get("/v1/sources").json()["data"]] == [made["id"]]
    changed = http.post(f"/v1/sources/{made['id']}", json={"exclude": ["old/*"], "schedule": None}).json()
    assert (changed["exclude"], changed["include"], changed["schedule"]) == (["old/*"], ["*.md"], None)
    assert http.delete(f"/v1/sources/{made['id']}").json()["deleted"] is True
    assert http.get(f"/v1/sources/{made['id']}").status_code == 404
    assert http.get("/v1/sources").json()["data"] == []


def test_a_sync_that_waits_is_not_queued_twice(http: TestClient, tmp_path: Path, sessions: Sessions) -> None:
    path = f"/v1/sources/{create(http, tmp_path)['id']}/sync"
    first, again = http.post(path).json(), http.post(path, json={}).json()
    assert (first["kind"], first["status"], first["id"]) == ("sync_source", "queued", again["id"])
    confirmed = http.post(path, json={"confirm": True}).json()
    assert confirmed["id"] != first["id"]
    assert confirmed["request"]["confirm"] is True
    with sessions() as session:
        assert len(session.scalars(select(Job)).all()) == 2


def test_documents_are_listed_page_by_page_with_how_their_indexing_stands(
    http: TestClient, tmp_path: Path, sessions: Sessions
) -> None:
    source_id = create(http, tmp_path)["id"]
    for number, status in enumerate(("completed", "failed", "completed")):
        add_document(sessions, source_id, f"{number}.md", status)
    path = f"/v1/sources/{source_id}/documents"
    page = http.get(path, params={"limit": 2}).json()
    assert ([one["id"] for one in page["data"]], page["has_more"]) == (["0.md", "1.md"], True)
    assert [one["id"] for one in http.get(path, params={"after": "1.md"}).json()["data"]] == ["2.md"]
    assert [one["id"] for one in http.get(path, params={"status": "failed"}).json()["data"]] == ["1.md"]
    counts = http.get(f"/v1/sources/{source_id}").json()["document_counts"]
    assert (counts["completed"], counts["failed"], counts["total"]) == (2, 1, 3)


@pytest.mark.parametrize(("documents", "hidden"), [("remove", True), ("keep", False)])
def test_removing_a_source_hides_its_documents_at_once_or_keeps_them(
    http: TestClient, tmp_path: Path, sessions: Sessions, documents: str, hidden: bool
) -> None:
    source_id = create(http, tmp_path)["id"]
    add_document(sessions, source_id, "a.md", "completed")
    gone = http.delete(f"/v1/sources/{source_id}", params={"documents": documents}).json()
    assert (gone["job_id"] is not None) == hidden
    with sessions() as session:
        assert session.get_one(StoreFile, ("s1", "a.md")).deleted is hidden


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"kind": "folder", "location": "/etc"}, "sources.folders"),
        ({"kind": "folder", "location": "{root}/docs/../../home"}, "sources.folders"),
        ({"kind": "git", "location": "relative"}, "absolute path"),
        ({"kind": "folder", "location": "file:///etc"}, "absolute path"),
        ({"kind": "site", "location": "http://127.0.0.1/sitemap.xml"}, "not public"),
        ({"kind": "site", "location": "http://169.254.169.254/"}, "not public"),
        ({"kind": "site", "location": "file:///etc/passwd"}, "only http and https"),
        ({"kind": "bucket", "location": "file:///etc"}, "sources.bucket_schemes"),
        ({"kind": "bucket", "location": "http://127.0.0.1/bucket"}, "kind 'site'"),
        ({"kind": "folder", "location": "{root}/docs", "schedule": {"cron": "99 * * * *"}}, "minute"),
        ({"kind": "folder", "location": "{root}/docs", "exlude": ["*"]}, "exlude"),
        ({"kind": "attic", "location": "/srv"}, "kind"),
    ],
)
def test_what_may_not_be_registered_is_refused_in_words(
    http: TestClient, tmp_path: Path, body: dict[str, Any], words: str
) -> None:
    body["location"] = body["location"].format(root=tmp_path / "srv")
    answer = http.post("/v1/sources", json=body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert http.get("/v1/sources").json()["data"] == []


def test_a_store_of_another_workspace_is_no_store(http: TestClient, tmp_path: Path) -> None:
    body = {"kind": "folder", "location": str(tmp_path / "srv" / "docs"), "vector_store_id": "s2"}
    assert http.post("/v1/sources", json=body).status_code == 404


CALLS = (("GET", ""), ("POST", ""), ("DELETE", ""), ("POST", "/sync"), ("GET", "/documents"))


@pytest.mark.parametrize(("method", "suffix"), CALLS)
def test_another_workspace_and_a_key_without_the_scope_see_no_source(
    http: TestClient, tmp_path: Path, sessions: Sessions, method: str, suffix: str
) -> None:
    path = f"/v1/sources/{create(http, tmp_path)['id']}{suffix}"
    for key, status in (("other", 404), ("reader", 403), ("nobody", 401)):
        assert http.request(method, path, headers={"Authorization": f"Bearer {key}"}, json={}).status_code == status
    assert http.get("/v1/sources", headers={"Authorization": "Bearer other"}).json()["data"] == []
    with sessions() as session:
        assert session.scalar(select(Source.deleted_at)) is None
