"""The supervisor with real processes and a real broker."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis

from services.command.supervisor import broker, launch, state
from services.command.supervisor.readiness import ask_broker
from services.contracts.processes import ProcessBody, SupervisorBody
from services.domain.bootstrap import bootstrap
from services.kit.settings import Platform

# A supervisor of the real broker, of a program with a child of its own, and of one that always fails.
PROGRAM = """
import os, sys
from services.command.supervisor import broker
from services.command.supervisor.processes import ProcessSpec, Ready, platform_specs
from services.command.supervisor.supervisor import Supervisor
from services.kit.settings import Platform
platform = Platform()
broker.write_config(platform)
parent = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
specs = [
    *(spec for spec in platform_specs(platform) if spec.name == "broker"),
    ProcessSpec("loop", (sys.executable, "-c", parent + "time.sleep(600)"), Ready("alive"),
                waits_for=broker.socket_path(platform)),
    ProcessSpec("stubborn", (sys.executable, "-c", "import signal, time; "
                "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"), Ready("alive")),
    ProcessSpec("broken", (sys.executable, "-c", "print('no weights here'); raise SystemExit(4)"), Ready("alive")),
]
Supervisor(platform, specs, os.environ, grace_s=2.0).run()
"""


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


class Home:
    """One platform's home with a supervisor that the test started."""

    def __init__(self, folder: Path) -> None:
        bootstrap(Platform(home=folder))
        self.platform = Platform(home=folder)
        self.supervisor = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "TANDEM_HOME": str(self.platform.home)}
        return subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment, start_new_session=True)

    def state(self) -> SupervisorBody | None:
        return state.running_state(self.platform)

    def row(self, name: str) -> ProcessBody:
        found = self.state()
        assert found is not None
        return next(process for process in found.processes if process.name == name)

    def runs(self, name: str) -> bool:
        return self.state() is not None and bool(self.state().processes) and self.row(name).pid is not None  # type: ignore[union-attr]

    def wait(self) -> None:
        until(lambda: self.runs("loop") and self.runs("stubborn"))
        until(lambda: psutil.Process(self.row("loop").pid).children())

    def marked(self) -> list[psutil.Process]:
        return state.marked_processes(self.platform.home)

    def end(self) -> None:
        if self.supervisor.poll() is None:
            self.supervisor.kill()
            self.supervisor.wait()
        state.sweep(self.platform.home, grace_s=1.0)


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Home]]:
    monkeypatch.setenv("TANDEM_CONFIG", str(tmp_path / "none.toml"))
    made: list[Home] = []

    def make(name: str) -> Home:
        made.append(Home(tmp_path / name))
        made[-1].wait()
        return made[-1]

    yield make
    for home in made:
        home.end()


def test_the_broker_answers_on_its_socket_to_the_password_alone(homes: Callable[[str], Home]) -> None:
    home = homes("one")
    path = broker.socket_path(home.platform)
    until(lambda: ask_broker(path).ready)
    password = (home.platform.secrets_folder / "broker_password").read_text().strip()
    assert redis.Redis(unix_socket_path=str(path), password=password).ping()
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis(unix_socket_path=str(path)).ping()
    command = " ".join(psutil.Process(home.row("broker").pid).cmdline())
    assert password not in command
    assert path.stat().st_mode & 0o077 == 0


def test_what_the_broker_was_told_is_there_after_it_was_killed(homes: Callable[[str], Home]) -> None:
    home = homes("one")
    password = (home.platform.secrets_folder / "broker_password").read_text().strip()
    client = redis.Redis(unix_socket_path=str(broker.socket_path(home.platform)), password=password)
    until(lambda: ask_broker(broker.socket_path(home.platform)).ready)
    client.rpush("queue", "job-1")
    time.sleep(1.2)  # the append-only file is synced each second
    first = home.row("broker").pid
    os.kill(first or 0, signal.SIGKILL)
    until(lambda: home.runs("broker") and home.row("broker").pid != first)
    until(lambda: ask_broker(broker.socket_path(home.platform)).ready)
    assert client.lrange("queue", 0, -1) == [b"job-1"]


def test_a_killed_process_is_started_again_and_its_children_are_not_left_behind(homes: Callable[[str], Home]) -> None:
    home = homes("one")
    first = home.row("loop")
    grandchild = psutil.Process(first.pid).children()[0]
    os.kill(first.pid or 0, signal.SIGKILL)
    until(lambda: home.runs("loop") and home.row("loop").pid != first.pid)
    assert (home.row("loop").restarts, home.row("loop").failures, home.row("loop").last_exit) == (1, 1, -9)
    until(lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE)


def test_a_process_that_keeps_failing_is_shown_as_failed_with_its_log(homes: Callable[[str], Home]) -> None:
    home = homes("one")
    until(lambda: home.row("broken").state == "failed", seconds=40)
    row = home.row("broken")
    assert (row.failures, row.last_exit) == (5, 4)
    assert "no weights here" in Path(row.log).read_text()
    assert Path(row.log).stat().st_mode & 0o077 == 0


def test_down_leaves_no_process_no_socket_and_no_state(homes: Callable[[str], Home]) -> None:
    home = homes("one")
    pids = [process.pid for process in home.marked()]
    assert len(pids) >= 4  # broker, loop, its child, stubborn
    outcome = launch.stop(home.platform)
    assert outcome.was_running
    home.supervisor.wait(5)
    assert [pid for pid in pids if psutil.pid_exists(pid)] == []
    assert [path.name for path in home.platform.run_folder.iterdir()] == [state.LOCK]
    assert not launch.stop(home.platform).was_running


def test_nothing_outlives_a_killed_supervisor_and_the_home_starts_again(homes: Callable[[str], Home]) -> None:
    home = homes("one")
    pids = [process.pid for process in home.marked()]
    assert home.row("broker").pid in pids
    home.supervisor.kill()
    home.supervisor.wait()
    until(lambda: not [pid for pid in pids if psutil.pid_exists(pid)])
    assert home.state() is None
    home.supervisor = home.start()
    home.wait()
    assert launch.stop(home.platform).was_running


def test_a_second_supervisor_of_the_same_home_gives_way(homes: Callable[[str], Home]) -> None:
    home = homes("one")
    second = home.start()
    assert second.wait(20) != 0
    assert home.row("loop").pid is not None


def test_two_homes_run_side_by_side_and_one_stops_alone(homes: Callable[[str], Home]) -> None:
    one, other = homes("one"), homes("other")
    launch.stop(one.platform)
    assert one.marked() == []
    assert other.runs("loop")
    assert ask_broker(broker.socket_path(other.platform)).ready


def test_a_taken_port_is_named_with_its_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_CONFIG", str(tmp_path / "none.toml"))
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        command = [sys.executable, "-m", "services.cli", "up", "--detach", "--home", str(tmp_path / "h"), "--port"]
        ended = subprocess.run([*command, str(port)], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "gateway_url" in ended.stderr
    assert str(port) in ended.stderr
    assert ended.stdout == ""


def test_status_reports_the_real_processes_as_json(homes: Callable[[str], Home]) -> None:
    home = homes("one")
    until(lambda: home.row("broken").failures)
    command = [sys.executable, "-m", "services.cli", "status", "--json", "--home", str(home.platform.home)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    value = json.loads(ended.stdout)
    rows = {row["name"]: row for row in value["processes"]}
    assert value["running"]
    assert rows["broker"]["ready"]
    assert rows["broker"]["memory_bytes"] > 1_000_000
    assert rows["broken"]["last_lines"]
    assert ended.returncode == 3
