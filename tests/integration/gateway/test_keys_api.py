"""Keys and workspaces through the real gateway, over a real database."""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from services.command.supervisor.broker import config_lines, find_server
from services.database.tables import ApiKey, Store, now
from services.domain.keys import ALL_SCOPES, SCOPES, digest
from services.gateway.http.limits import Limits
from services.kit.queue import redis_client
from tests.gateway_fakes import Gateway

OPERATOR, TENANT, ASKER = "one", "two", "asker"


class Desk(Gateway):
    """Workspace `one` is the platform's own: its key may make workspaces. `two` is a tenant's. `asker`, a key of `two`,
    may only ask."""

    client: TestClient

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        with self.sessions.begin() as session:
            session.get_one(ApiKey, "key-one").scopes = list(ALL_SCOPES)
            session.get_one(ApiKey, "key-two").scopes = list(SCOPES)
            asker = ApiKey(id="key-asker", workspace_id="two", name="asker", digest=digest(ASKER), prefix="a")
            asker.scopes, asker.requests_per_minute, asker.tokens_per_minute = ["ask"], 100, 100_000
            session.add(asker)

    def call(self, key: str, method: str, path: str, **options: Any) -> tuple[int, dict[str, Any]]:
        got = self.client.request(method, path, headers={"Authorization": f"Bearer {key}"}, **options)
        return got.status_code, got.json()

    def make(self, key: str, **body: Any) -> tuple[int, dict[str, Any]]:
        return self.call(key, "POST", "/v1/keys", json={"name": "app", **body})

    def made(self, key: str, **body: Any) -> dict[str, Any]:
        status, answer = self.make(key, **body)
        assert status == 200, answer
        return answer

    def refusal(self, key: str, **body: Any) -> tuple[int, str, str | None]:
        status, answer = self.make(key, **body)
        return status, answer["error"]["code"], answer["error"]["param"]

    def revoke(self, key: str, key_id: str) -> tuple[int, dict[str, Any]]:
        return self.call(key, "POST", f"/v1/keys/{key_id}/revoke")

    def names(self, key: str, **parameters: str) -> list[str]:
        status, answer = self.call(key, "GET", "/v1/keys", params=parameters)
        assert status == 200, answer
        return [one["name"] for one in answer["data"]]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    with TestClient(made.app, raise_server_exceptions=False) as made.client:
        yield made


def test_a_key_is_made_shown_once_and_used(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    made = desk.made(TENANT, name=" the app ", scopes=["knowledge", "ask", "ask"], requests_per_minute=5)
    secret = made.pop("secret")
    assert made["created_at"] <= now().timestamp()
    assert made == {
        "id": made["id"],
        "object": "key",
        "name": "the app",
        "prefix": secret[:14],
        "scopes": ["ask", "knowledge"],
        "requests_per_minute": 5,
        "tokens_per_minute": 100_000,
        "workspace_id": "two",
        "created_at": made["created_at"],
        "revoked_at": None,
    }
    assert desk.call(secret, "GET", "/v1/models")[0] == 200
    assert desk.call(TENANT, "GET", f"/v1/keys/{made['id']}") == (200, made)
    listed = desk.call(TENANT, "GET", "/v1/keys")[1]
    assert made in listed["data"]
    assert secret not in str(listed)
    assert secret not in caplog.text
    with desk.sessions() as session:
        row = session.get_one(ApiKey, made["id"])
        assert secret not in [str(value) for value in vars(row).values()]


def test_a_secret_is_not_kept_by_anything_between(desk: Desk) -> None:
    headers = {"Authorization": f"Bearer {OPERATOR}"}
    for path in ("/v1/keys", "/v1/workspaces"):
        assert desk.client.post(path, json={"name": "x"}, headers=headers).headers["Cache-Control"] == "no-store"


def test_without_scopes_and_limits_a_key_may_ask_as_much_as_usual_but_never_more_than_its_maker(desk: Desk) -> None:
    made = desk.made(TENANT)
    assert (made["scopes"], made["requests_per_minute"], made["tokens_per_minute"]) == (["ask"], 100, 100_000)
    with desk.sessions.begin() as session:
        maker = session.get_one(ApiKey, "key-one")
        maker.requests_per_minute, maker.tokens_per_minute = 5_000, 5_000_000
    made = desk.made(OPERATOR)
    assert (made["requests_per_minute"], made["tokens_per_minute"]) == (600, 1_000_000)


def test_an_unknown_scope_is_a_400_that_names_it_and_the_known_ones(desk: Desk) -> None:
    status, answer = desk.make(OPERATOR, scopes=["ask", "fly"])
    assert (status, answer["error"]["param"]) == (400, "scopes.1")
    assert "'fly'" in answer["error"]["message"]
    assert ", ".join(ALL_SCOPES) in answer["error"]["message"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": "   "}, "name"),
        ({"name": 201 * "n"}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "\x1b[31mred"}, "name"),
        ({"scopes": []}, "scopes"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"tokens_per_minute": -1}, "tokens_per_minute"),
        ({"tokens_per_minute": 2**31}, "tokens_per_minute"),
        ({"request_per_minute": 5}, "request_per_minute"),
    ],
)
def test_a_key_that_cannot_be_is_a_400_that_names_the_field(desk: Desk, body: dict[str, Any], param: str) -> None:
    assert desk.refusal(OPERATOR, **body) == (400, "invalid_value", param)


def test_half_a_pair_or_a_nul_in_a_name_is_a_400(desk: Desk) -> None:
    for unfit in (r"\ud83d", r"\u0000"):
        for path in ("/v1/keys", "/v1/workspaces"):
            content = '{"name": "UNFIT"}'.replace("UNFIT", unfit)
            status, answer = desk.call(OPERATOR, "POST", path, content=content)
            assert (status, answer["error"]["param"]) == (400, "name")


def test_no_key_gives_away_what_it_has_not_itself(desk: Desk) -> None:
    manager = desk.made(TENANT, scopes=["operate"], requests_per_minute=10, tokens_per_minute=10)["secret"]
    assert desk.refusal(manager, scopes=["ask"]) == (403, "missing_scope", "scopes")
    assert desk.refusal(manager, scopes=["operate", "workspaces"]) == (403, "missing_scope", "scopes")
    for limit in ("requests_per_minute", "tokens_per_minute"):
        assert desk.refusal(manager, scopes=["operate"], **{limit: 11}) == (403, "limit_too_high", limit)
    assert desk.made(manager, scopes=["operate"], requests_per_minute=10)["tokens_per_minute"] == 10
    assert desk.made(OPERATOR, requests_per_minute=6_000)["requests_per_minute"] == 6_000


def test_keys_are_managed_with_operate_and_workspaces_with_workspaces_alone(desk: Desk) -> None:
    for method, path in (("GET", "/v1/keys"), ("POST", "/v1/keys"), ("POST", "/v1/keys/key-two/revoke")):
        status, answer = desk.call(ASKER, method, path, **({"json": {"name": "x"}} if method == "POST" else {}))
        assert (status, answer["error"]["code"]) == (403, "missing_scope")
    for method in ("GET", "POST"):
        status, answer = desk.call(TENANT, method, "/v1/workspaces", json={"name": "x"})
        assert (status, answer["error"]["code"]) == (403, "missing_scope")


def test_another_workspaces_keys_do_not_exist_for_a_tenant(desk: Desk) -> None:
    theirs = desk.made(OPERATOR, name="theirs")
    assert "theirs" not in desk.names(TENANT)
    for path in (f"/v1/keys/{theirs['id']}", "/v1/keys?workspace_id=one", f"/v1/keys?after={theirs['id']}"):
        assert desk.call(TENANT, "GET", path)[0] == 404
    assert desk.refusal(TENANT, workspace_id="one") == (404, "workspace_not_found", "workspace_id")
    assert desk.revoke(TENANT, theirs["id"])[0] == 404
    assert desk.call(theirs["secret"], "GET", "/v1/models")[0] == 200


def test_a_key_with_workspaces_manages_the_keys_of_all(desk: Desk) -> None:
    made = desk.made(OPERATOR, name="from above", workspace_id="two", scopes=["operate"])
    assert made["workspace_id"] == "two"
    assert "from above" in desk.names(TENANT)
    assert "from above" in desk.names(OPERATOR, workspace_id="two")
    assert "from above" not in desk.names(OPERATOR)
    assert desk.revoke(OPERATOR, made["id"])[0] == 200
    assert desk.refusal(OPERATOR, workspace_id="none") == (404, "workspace_not_found", "workspace_id")
    refused = desk.refusal(OPERATOR, workspace_id="two", scopes=["operate", "workspaces"])
    assert refused == (403, "scope_not_allowed", "scopes")


def test_a_new_workspace_has_a_default_store_and_a_first_key_that_sees_nothing_of_others(desk: Desk) -> None:
    status, made = desk.call(OPERATOR, "POST", "/v1/workspaces", json={"name": "Legal"})
    assert (status, made["name"], made["object"]) == (200, "Legal", "workspace")
    first = made["first_key"]
    assert (first["workspace_id"], tuple(first["scopes"])) == (made["id"], SCOPES)
    stores = desk.call(first["secret"], "GET", "/v1/vector_stores")[1]["data"]
    assert [store["metadata"] for store in stores] == [{"default": "true"}]
    assert desk.names(first["secret"]) == ["first key"]
    listed = desk.call(OPERATOR, "GET", "/v1/workspaces")[1]["data"]
    assert [one["name"] for one in listed] == ["Legal", "two", "one"]
    assert "first_key" not in listed[0]
    with desk.sessions() as session:
        assert session.scalars(select(Store.is_default).where(Store.workspace_id == made["id"])).all() == [True]


def test_a_workspaces_name_is_taken_once(desk: Desk) -> None:
    def make(_number: int) -> int:
        return desk.call(OPERATOR, "POST", "/v1/workspaces", json={"name": "Legal"})[0]

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(make, range(4))) == [200, 409, 409, 409]


def test_a_revoked_key_is_refused_at_once_and_stays_in_the_list(desk: Desk) -> None:
    made = desk.made(TENANT)
    assert desk.call(made["secret"], "GET", "/v1/models")[0] == 200  # remembered from now on
    status, revoked = desk.revoke(TENANT, made["id"])
    assert status == 200
    assert revoked["revoked_at"] is not None
    status, answer = desk.call(made["secret"], "GET", "/v1/models")
    assert (status, answer["error"]["code"]) == (401, "invalid_api_key")
    assert desk.revoke(TENANT, made["id"]) == (200, revoked)
    assert revoked in desk.call(TENANT, "GET", "/v1/keys")[1]["data"]


def test_the_last_key_that_can_make_keys_cannot_be_revoked_from_within(desk: Desk) -> None:
    status, answer = desk.revoke(TENANT, "key-two")
    assert (status, answer["error"]["code"]) == (409, "last_key")
    assert "make another with the scope 'operate' first" in answer["error"]["message"]
    other = desk.made(TENANT, scopes=["operate"])
    assert desk.revoke(TENANT, "key-two")[0] == 200  # the key in use: another is left
    assert desk.revoke(other["secret"], other["id"])[0] == 409
    assert desk.revoke(OPERATOR, other["id"])[0] == 200  # from outside, where a new one can be made


def test_the_last_key_that_can_make_workspaces_cannot_be_revoked(desk: Desk) -> None:
    desk.made(OPERATOR, scopes=["operate"])
    status, answer = desk.revoke(OPERATOR, "key-one")
    assert (status, answer["error"]["code"]) == (409, "last_key")
    assert "'operate' and 'workspaces'" in answer["error"]["message"]
    desk.made(OPERATOR, scopes=["operate", "workspaces"])
    assert desk.revoke(OPERATOR, "key-one")[0] == 200


def test_two_keys_that_revoke_each_other_at_once_leave_one(desk: Desk) -> None:
    for _ in range(5):
        one, two = (desk.made(OPERATOR, workspace_id="two", scopes=["operate"]) for _ in range(2))
        desk.revoke(OPERATOR, "key-two")
        for key in (one, two):
            desk.names(key["secret"])  # both are remembered as good
        with ThreadPoolExecutor(2) as pool:
            pairs = [(one["secret"], two["id"]), (two["secret"], one["id"])]
            statuses = sorted(pool.map(lambda pair: desk.revoke(*pair)[0], pairs))
        assert statuses in ([200, 401], [200, 409]), statuses
        left = {row["id"] for row in desk.call(OPERATOR, "GET", "/v1/keys", params={"workspace_id": "two"})[1]["data"]
                if row["revoked_at"] is None and "operate" in row["scopes"]}  # fmt: skip
        assert len(left) == 1
        for key_id in left:
            desk.revoke(OPERATOR, key_id)


def test_a_key_that_another_gateway_revoked_makes_no_further_key(desk: Desk) -> None:
    thief = desk.made(TENANT, scopes=["operate"])
    desk.names(thief["secret"])  # remembered for five seconds
    with desk.sessions.begin() as session:
        session.get_one(ApiKey, thief["id"]).revoked_at = now()
    assert desk.make(thief["secret"], scopes=["operate"])[0] == 401
    assert desk.revoke(thief["secret"], "key-asker")[0] == 401


def test_keys_are_listed_page_by_page_the_newest_first(desk: Desk) -> None:
    for name in "abc":
        desk.made(TENANT, name=name)
    status, first = desk.call(TENANT, "GET", "/v1/keys", params={"limit": 2})
    assert (status, first["has_more"], [one["name"] for one in first["data"]]) == (200, True, ["c", "b"])
    assert desk.names(TENANT, after=first["last_id"])[0] == "a"


def test_the_openapi_document_has_the_routes(desk: Desk) -> None:
    paths = desk.app.openapi()["paths"]
    assert {path: sorted(paths[path]) for path in paths if "keys" in path or "workspaces" in path} == {
        "/v1/keys": ["get", "post"],
        "/v1/keys/{key_id}": ["get"],
        "/v1/keys/{key_id}/revoke": ["post"],
        "/v1/workspaces": ["get", "post"],
    }


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    """The address of a real broker."""
    socket, config = tmp_path / "b.sock", tmp_path / "broker.conf"
    config.write_text("\n".join(config_lines(tmp_path, socket, "p")) + "\n")
    process = subprocess.Popen([str(find_server()), str(config)], stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            if socket.exists():
                break
            time.sleep(0.05)
        yield f"redis+socket://:p@{socket}"
    finally:
        process.kill()
        process.wait()


def test_a_key_with_a_limit_is_limited_and_no_other_key_with_it(desk: Desk, broker: str) -> None:
    desk.replace(limits=Limits(redis_client(broker), reads_per_minute=6000))
    few, many = desk.made(TENANT, requests_per_minute=1)["secret"], desk.made(TENANT)["secret"]
    body = {"model": "all-minilm-l6-v2", "input": "a"}

    def ask(key: str) -> list[tuple[int, dict[str, Any]]]:
        return [desk.call(key, "POST", "/v1/embeddings", json=body) for _ in range(3)]

    assert [status for status, _ in ask(many)] == [200, 200, 200]
    first, *_, (status, answer) = ask(few)  # a minute may end in between, but not two
    assert (first[0], status, answer["error"]["code"]) == (200, 429, "rate_limit_exceeded")
    assert "limit of 1 requests a minute" in answer["error"]["message"]
