"""What `tandem up` starts, when it starts it again, and what it keeps to itself."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest
from sqlalchemy import select

from services.command.supervisor import broker, launch, state
from services.command.supervisor.backoff import Backoff
from services.command.supervisor.child import ROTATE_AT_BYTES, Child, rotate
from services.command.supervisor.processes import MARK, ProcessSpec, Ready, environment, platform_specs
from services.contracts.processes import SupervisorBody
from services.database.engine import open_sessions
from services.database.tables import ApiKey, Store
from services.domain.bootstrap import UnsafeFolder, bootstrap, make_folders
from services.domain.keys import ALL_SCOPES
from services.kit.settings import Platform


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TANDEM_CONFIG", str(tmp_path / "none.toml"))
    for name in ("TANDEM_HOME", "TANDEM_GATEWAY_URL", "TANDEM_BROKER_URL", "TANDEM_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def started(home: Path) -> Platform:
    bootstrap(Platform(home=home))
    return Platform(home=home)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_every_process_of_one_machine_is_started_and_the_broker_first(tmp_path: Path) -> None:
    specs = platform_specs(started(tmp_path / "home"))
    assert [spec.name for spec in specs] == [
        "broker", "retrieval", "generation", "gateway", "worker-index", "worker-train", "worker-light",
        "beat", "dashboard",
    ]  # fmt: skip
    assert [spec.name for spec in specs if spec.leaves_last] == ["broker"]


def test_training_steps_back_behind_everything_else(tmp_path: Path) -> None:
    assert {spec.name: spec.nice for spec in platform_specs(started(tmp_path / "home")) if spec.nice} == {
        "worker-train": 10
    }


def test_a_broker_named_by_the_settings_is_not_started_here(tmp_path: Path) -> None:
    platform = Platform(home=tmp_path / "home", broker_url="redis://:secret@broker.example:6379/0")
    specs = platform_specs(platform)
    assert "broker" not in [spec.name for spec in specs]
    assert all(spec.waits_for is None for spec in specs)


def test_no_secret_is_on_a_command_line_or_in_the_environment(tmp_path: Path) -> None:
    platform = started(tmp_path / "home")
    secrets = [path.read_text().strip() for path in platform.secrets_folder.iterdir()]
    told = " ".join([*(" ".join(spec.argv) for spec in platform_specs(platform)), *environment(platform).values()])
    assert secrets
    assert not [secret for secret in secrets if secret in told]


def test_two_homes_mark_their_processes_differently(tmp_path: Path) -> None:
    one, other = Platform(home=tmp_path / "one"), Platform(home=tmp_path / "other")
    assert environment(one)[MARK] != environment(other)[MARK]


def test_the_brokers_settings_are_private_and_close_the_network(tmp_path: Path) -> None:
    platform = started(tmp_path / "home")
    broker.write_config(platform)
    lines = broker.config_path(platform).read_text().splitlines()
    assert mode(broker.config_path(platform)) == 0o600
    assert "port 0" in lines
    assert "appendonly yes" in lines
    assert any(line.startswith("requirepass ") for line in lines)


def test_restarts_wait_longer_each_time_up_to_half_a_minute() -> None:
    backoff, delays = Backoff(), []
    for _ in range(7):
        backoff = backoff.after_run(0.1)
        delays.append(backoff.delay)
    assert delays == [1, 2, 4, 8, 16, 30, 30]


def test_five_ends_in_a_row_are_a_failure_and_a_healthy_minute_forgets_them() -> None:
    backoff = Backoff()
    for _ in range(4):
        backoff = backoff.after_run(1)
    assert not backoff.failed
    failed = backoff.after_run(1)
    assert failed.failed
    assert failed.while_running(59).failed
    assert not failed.while_running(60).failed
    assert failed.after_run(61).failures == 1


def test_a_program_that_does_not_exist_is_tried_again_later(tmp_path: Path) -> None:
    child = Child(ProcessSpec("ghost", (str(tmp_path / "no-such"),), Ready("alive")), tmp_path / "ghost.log", {})
    assert child.tend(100.0)
    body = child.body()
    assert (body.state, body.last_exit, body.next_start_at) == ("restarting", 127, 101.0)


def test_a_process_is_not_started_before_what_it_waits_for_is_there(tmp_path: Path) -> None:
    spec = ProcessSpec("late", ("true",), Ready("alive"), waits_for=tmp_path / "broker.sock")
    child = Child(spec, tmp_path / "late.log", {})
    assert not child.tend(100.0)
    assert child.body().state == "waiting"


def test_a_log_is_put_aside_when_it_has_grown(tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    log.write_bytes(b"x" * 11)
    rotate(log, limit=11)
    assert log.exists()
    rotate(log, limit=10)
    assert not log.exists()
    assert (tmp_path / "gateway.log.1").stat().st_size == 11


def test_the_supervisors_log_is_put_aside_too(tmp_path: Path) -> None:
    platform = started(tmp_path / "home")
    log = launch.supervisor_log(platform)
    with log.open("wb") as file:
        file.truncate(ROTATE_AT_BYTES + 1)
    os.close(launch.open_log(platform))
    assert log.stat().st_size == 0
    assert log.with_name("supervisor.log.1").stat().st_size == ROTATE_AT_BYTES + 1


def test_secrets_and_their_folders_are_for_this_user_alone(tmp_path: Path) -> None:
    platform = started(tmp_path / "home")
    assert mode(platform.home) == mode(platform.secrets_folder) == mode(platform.run_folder) == 0o700
    assert {path.name: mode(path) for path in platform.secrets_folder.iterdir()} == {
        "api_key": 0o600,
        "broker_password": 0o600,
        "service_token": 0o600,
    }


def test_the_first_start_makes_one_key_and_one_default_store_and_the_second_changes_nothing(tmp_path: Path) -> None:
    first = bootstrap(Platform(home=tmp_path / "home"))
    key = first.key_path.read_text()
    second = bootstrap(Platform(home=tmp_path / "home"))
    assert (first.key_created, second.key_created) == (True, False)
    assert second.key_path.read_text() == key
    with open_sessions(Platform(home=tmp_path / "home").database_url)() as session:
        keys = session.scalars(select(ApiKey)).all()
        stores = session.scalars(select(Store)).all()
    assert [row.digest for row in keys] == [hashlib.sha256(key.strip().encode()).hexdigest()]
    assert tuple(keys[0].scopes) == ALL_SCOPES
    assert keys[0].prefix == key[:14]
    assert [(store.name, store.is_default) for store in stores] == [("default", True)]


def test_a_key_file_that_a_cut_short_start_left_is_the_key_that_is_recorded(tmp_path: Path) -> None:
    platform = Platform(home=tmp_path / "home")
    make_folders(platform)
    (platform.secrets_folder / "api_key").write_text("sk-tandem-left-by-the-first-start\n")
    assert bootstrap(platform).key_created
    with open_sessions(platform.database_url)() as session:
        row = session.scalars(select(ApiKey)).one()
    assert row.digest == hashlib.sha256(b"sk-tandem-left-by-the-first-start").hexdigest()
    assert mode(platform.secrets_folder / "api_key") == 0o600


def test_a_secrets_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "secrets").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeFolder, match="choose another home"):
        make_folders(Platform(home=tmp_path / "home"))


def test_only_one_supervisor_can_hold_a_home(tmp_path: Path) -> None:
    one, other = state.Lock(tmp_path), state.Lock(tmp_path)
    assert not state.is_running(tmp_path)
    assert one.take()
    assert not other.take(patience_s=0.05)
    assert state.is_running(tmp_path)
    one.release()
    assert other.take()
    other.release()


def test_the_state_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    body = SupervisorBody(
        pid=7, home="h", gateway_url="http://127.0.0.1:1", dashboard_url="http://127.0.0.1:2", started_at=1.5,
        processes=[],
    )  # fmt: skip
    assert state.read_state(tmp_path) is None
    state.write_state(tmp_path, body)
    assert state.read_state(tmp_path) == body
    assert mode(tmp_path / state.STATE) == 0o600
    (tmp_path / state.STATE).write_text("{")
    assert state.read_state(tmp_path) is None
