"""`tandem keys` and `tandem workspaces` over the real gateway and database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from services.cli import main
from services.command.api import Api
from services.command.verbs import keys, workspaces
from services.database.engine import open_sessions
from services.database.tables import ApiKey
from services.domain.bootstrap import bootstrap
from services.domain.keys import ALL_SCOPES, SCOPES
from services.kit.settings import Platform
from tests.gateway_fakes import Gateway

Printed = tuple[int, str, str]
"""Exit code, standard output, standard error."""


class Command:
    def __init__(self, gateway: Gateway, printed: pytest.CaptureFixture[str]) -> None:
        self.gateway, self.printed = gateway, printed

    @contextmanager
    def connect(self, _home: Path | None) -> Iterator[Api]:
        http = self.gateway.http()

        def answer(request: httpx.Request) -> httpx.Response:
            path = request.url.raw_path.decode()
            headers = {"Content-Type": "application/json"} if request.content else {}
            got = http.request(request.method, path, content=request.content, headers=headers)
            return httpx.Response(got.status_code, content=got.content)

        yield Api("http://tandem.test", "one", httpx.MockTransport(answer))

    def run(self, *arguments: str) -> Printed:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        out, err = self.printed.readouterr()
        return int(ended.value.code or 0), out, err

    def json(self, *arguments: str) -> object:
        code, out, err = self.run(*arguments, "--json")
        assert (code, err) == (0, ""), (out, err)
        return json.loads(out)

    def accepted(self, secret: str) -> bool:
        with TestClient(self.gateway.app, headers={"Authorization": f"Bearer {secret}"}) as client:
            return client.get("/v1/models").status_code == 200


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("COLUMNS", "200")
    gateway = Gateway(tmp_path)
    with gateway.sessions.begin() as session:
        session.get_one(ApiKey, "key-one").scopes = list(ALL_SCOPES)
    made = Command(gateway, capsys)
    for module in (keys, workspaces):
        monkeypatch.setattr(module, "connect", made.connect)
    return made


def test_a_key_is_alone_on_standard_output_so_that_a_script_can_take_it(command: Command) -> None:
    code, out, err = command.run("keys", "create", "the app", "--scope", "ask", "--scope", "voice")
    assert code == 0
    assert command.accepted(out.strip())
    assert "'the app'" in err
    assert "ask, voice; 100 requests and 100000 tokens a minute. It is shown this once" in err
    assert out.strip() not in err


def test_a_key_for_another_workspace_with_limits(command: Command) -> None:
    made = command.json("keys", "create", "a", "--workspace", "two", "--requests-per-minute", "7")
    assert isinstance(made, dict)
    assert (made["workspace_id"], made["requests_per_minute"], made["scopes"]) == ("two", 7, ["ask"])
    _, out, _ = command.run("keys", "list", "--workspace", "two")
    assert made["id"] in out
    assert made["id"] not in command.run("keys", "list")[1]


def test_the_list_shows_what_is_known_of_a_key_but_the_key(command: Command) -> None:
    _, secret, _ = command.run("keys", "create", "[red]app")
    _, out, _ = command.run("keys", "list")
    (line,) = [line for line in out.splitlines() if "app" in line]
    assert "[red]app" in line
    assert secret[:14] in line
    assert secret.strip() not in out
    listed = command.json("keys", "list")
    assert isinstance(listed, list)
    assert [one["name"] for one in listed] == ["[red]app", "one"]


def test_a_revoked_key_is_refused_and_the_list_says_so(command: Command) -> None:
    made = command.json("keys", "create", "app")
    assert isinstance(made, dict)
    code, out, _ = command.run("keys", "revoke", made["id"])
    assert (code, out) == (0, f"{made['id']} ('app') is revoked.\n")
    assert not command.accepted(made["secret"])
    listed = command.json("keys", "list")
    assert isinstance(listed, list)
    assert [one["revoked_at"] is None for one in listed] == [False, True]


def test_what_is_refused_is_told_in_words(command: Command) -> None:
    code, out, err = command.run("keys", "create", "app", "--scope", "fly")
    assert (code, out) == (1, "")
    assert "there is no scope 'fly'; the known ones are ask, knowledge" in err
    code, _, err = command.run("keys", "revoke", "key-one")
    assert code == 1
    assert "make another with the scope 'operate' first" in err
    assert command.run("keys", "revoke", "key_none")[2] == "tandem: There is no key 'key_none'.\n"
    assert command.run("keys", "create", "app", "--requests-per-minute", "0")[0] == 2


def test_a_workspace_comes_with_its_first_key(command: Command) -> None:
    code, out, err = command.run("workspaces", "create", "Legal")
    assert code == 0
    assert command.accepted(out.strip())
    listed = command.json("workspaces", "list")
    assert isinstance(listed, list)
    assert [one["name"] for one in listed] == ["Legal", "two", "one"]
    assert listed[0]["id"] in err
    assert ", ".join(SCOPES) in err
    assert "Legal" in command.run("workspaces", "list")[1]
    assert "There is a workspace 'Legal' already" in command.run("workspaces", "create", "Legal")[2]


def test_a_lost_first_key_is_recovered_without_a_platform_that_runs(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TANDEM_API_KEY", raising=False)
    platform = Platform(home=tmp_path / "home")
    path = bootstrap(platform).key_path
    path.unlink()
    assert "`tandem keys recover`" in command.run("versions", "--home", str(platform.home))[2]
    code, out, _ = command.run("keys", "recover", "--home", str(platform.home))
    assert (code, str(path) in out) == (0, True)
    assert path.read_text().strip() not in out
    done = command.json("keys", "recover", "--home", str(platform.home))
    assert isinstance(done, dict)
    assert (done["api_key_file"], len(done["revoked"])) == (str(path), 1)
    with open_sessions(platform.database_url)() as session:
        assert session.get_one(ApiKey, done["key_id"]).revoked_at is None


def test_a_recovery_makes_no_home_and_names_a_database_that_cannot_be_used(tmp_path: Path, command: Command) -> None:
    code, _, err = command.run("keys", "recover", "--home", str(tmp_path / "nowhere"))
    assert code == 3
    assert "No platform was ever started" in err
    assert not (tmp_path / "nowhere").exists()
    platform = Platform(home=tmp_path / "home")
    bootstrap(platform)
    for path in platform.home.glob("tandem.db*"):
        path.write_bytes(b"this is no database, of course" * 100)
    code, _, err = command.run("keys", "recover", "--home", str(platform.home))
    assert code == 1
    assert "database cannot be used" in err
