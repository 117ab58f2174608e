"""`tandem up` and `tandem down`: a platform in the foreground or the background, until it is ready, and its end."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from services.command.errors import CommandError, NotRunning
from services.command.supervisor import broker, state
from services.command.supervisor.child import rotate
from services.command.supervisor.health import PlatformStatus, inspect, last_lines
from services.command.supervisor.processes import MARK, environment, platform_specs
from services.command.supervisor.supervisor import GRACE_S, LAST_GRACE_S, Supervisor
from services.domain.bootstrap import UnsafeFolder, bootstrap
from services.kit.logging import configure
from services.kit.private import append_descriptor
from services.kit.settings import Platform

READY_WITHIN_S = 300.0
ASK_EVERY_S = 1.0
Say = Callable[[str], None]


def settings(home: Path | None, port: int | None = None) -> Platform:
    """The platform's settings; values from the command line override them.

    A `port` is the gateway's; the dashboard takes the next one.
    """
    given: dict[str, object] = {} if home is None else {"home": home}
    if port is not None:
        host = urlsplit(Platform().gateway_url).hostname or "127.0.0.1"
        given |= {"gateway_url": f"http://{host}:{port}", "dashboard_url": f"http://{host}:{port + 1}"}
    return Platform(**given)  # type: ignore[arg-type]


def prepare(platform: Platform) -> Platform:
    """Make home, secrets, tables and the first key. Returns the platform's settings with the secrets in them.

    First it ends what a killed supervisor left, since this may hold the ports. Raises CommandError for a port that is
    taken and a folder that is not ours.
    """
    state.sweep(platform.home, grace_s=5.0)
    for name, url in (("gateway_url", platform.gateway_url), ("dashboard_url", platform.dashboard_url)):
        check_port(name, url)
    try:
        bootstrap(platform)
    except (UnsafeFolder, OSError) as error:
        raise CommandError(f"The home {platform.home} cannot be used: {error}") from error
    return Platform(home=platform.home, gateway_url=platform.gateway_url, dashboard_url=platform.dashboard_url)


def check_port(setting: str, url: str) -> None:
    """Raises CommandError if it is not possible to listen on the address."""
    parts = urlsplit(url)
    address = (parts.hostname or "127.0.0.1", parts.port or 80)
    with socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            taken = "is taken by another program" if error.errno == errno.EADDRINUSE else f"cannot be used ({error})"
            raise CommandError(
                f"The port {address[1]} on {address[0]} {taken}. Choose another with --port, or with the setting "
                f"{setting} (TANDEM_{setting.upper()})."
            ) from error


def run_in_foreground(platform: Platform) -> None:
    """Supervise until SIGTERM or Ctrl-C. Call `prepare` first."""
    _configure_log()
    if broker.is_ours(platform):
        broker.write_config(platform)
    Supervisor(platform, platform_specs(platform), os.environ).run()


def run_in_background(platform: Platform) -> subprocess.Popen[bytes]:
    """Start the same command in a separate session that writes to `logs/supervisor.log`."""
    env = {**os.environ, **environment(platform)}
    del env[MARK]
    with os.fdopen(open_log(platform), "ab") as log:
        return subprocess.Popen(
            (sys.executable, "-m", "services.cli", "up"),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=env,
            start_new_session=True,
        )


def open_log(platform: Platform) -> int:
    """A descriptor that appends to the supervisor's log; a log that has become large is renamed first."""
    rotate(supervisor_log(platform))
    return append_descriptor(supervisor_log(platform))


def supervisor_log(platform: Platform) -> Path:
    return platform.log_folder / "supervisor.log"


def wait_until_ready(platform: Platform, process: subprocess.Popen[bytes] | None, say: Say) -> PlatformStatus:
    """Wait until every process does its work, and report in lines what happens meanwhile.

    Raises NotRunning after 300 s, if the supervisor ends, and if a process fails again and again.
    """
    deadline = time.monotonic() + READY_WITHIN_S
    said: dict[str, str] = {}
    while time.monotonic() < deadline:
        status = inspect(platform)
        _check_alive(platform, process, status)
        _say_news(status, said, say)
        if status.ready:
            return status
        _check_failed(status)
        time.sleep(ASK_EVERY_S)
    missing = ", ".join(row.name for row in status.processes if not row.ready)
    raise NotRunning(
        f"Not ready after {READY_WITHIN_S:.0f} seconds: {missing}. The platform goes on starting; look at "
        f"`tandem status` and the logs in {platform.log_folder}, or stop it with `tandem down`."
    )


def _check_alive(platform: Platform, process: subprocess.Popen[bytes] | None, status: PlatformStatus) -> None:
    if process is not None and process.poll() is not None and not status.running:
        log = supervisor_log(platform)
        raise NotRunning("\n".join([f"The platform did not start. Its log is {log}:", *last_lines(log)]))


def _check_failed(status: PlatformStatus) -> None:
    for row in status.processes:
        if row.state == "failed":
            words = f"{row.name} ended {row.failures} times in a row (exit {row.last_exit}). Its log is {row.log}:"
            raise NotRunning("\n".join([words, *row.last_lines, "The rest runs on; `tandem down` stops it."]))


def _say_news(status: PlatformStatus, said: dict[str, str], say: Say) -> None:
    for row in status.processes:
        words = "ready" if row.ready else f"{row.state}{', ' + row.detail if row.detail else ''}"
        if said.get(row.name) != words:
            said[row.name] = words
            say(f"{row.name}: {words}")
    if status.generation and said.get("slots") != status.generation:
        said["slots"] = status.generation
        say(f"generation: {status.generation}")


@dataclass(frozen=True)
class Stopped:
    """`was_running` says whether there was a supervisor; `swept` counts processes that a killed one had left."""

    was_running: bool
    swept: int


def stop(platform: Platform) -> Stopped:
    """End a platform, whatever state it is in.

    Raises CommandError if a process of this home still exists at the end.
    """
    was_running = state.is_running(platform.run_folder)
    if was_running:
        _stop_supervisor(platform)
    swept = state.sweep(platform.home, grace_s=5.0)
    if left := state.marked_processes(platform.home):
        raise CommandError(f"These processes of {platform.home} do not end: {[process.pid for process in left]}.")
    state.clear_run_folder(platform.run_folder)
    return Stopped(was_running, len(swept))


def _stop_supervisor(platform: Platform) -> None:
    pid = _supervisor_pid(platform)
    os.kill(pid, signal.SIGTERM)
    if not _wait_stopped(platform, GRACE_S + LAST_GRACE_S + 15.0):
        os.kill(pid, signal.SIGKILL)
        _wait_stopped(platform, 5.0)


def _supervisor_pid(platform: Platform) -> int:
    """Waits a moment, because the supervisor writes its state shortly after it took the lock."""
    for _ in range(100):
        if found := state.read_state(platform.run_folder):
            return found.pid
        time.sleep(0.1)
    raise CommandError(
        f"A supervisor holds {platform.run_folder / state.LOCK} but has written no state; end it by hand."
    )


def _wait_stopped(platform: Platform, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not state.is_running(platform.run_folder):
            return True
        time.sleep(0.1)
    return False


def _configure_log() -> None:
    """Readable lines on a terminal, lines of JSON elsewhere."""
    if sys.stderr.isatty():
        logging.basicConfig(level="INFO", format="%(asctime)s %(message)s", datefmt="%H:%M:%S", force=True)
    else:
        configure("supervisor")
