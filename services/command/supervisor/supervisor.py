"""Keeps a platform's processes running until it is told to stop, and leaves nothing behind."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from services.command.errors import CommandError
from services.command.supervisor import guardian, state
from services.command.supervisor.child import Child
from services.command.supervisor.processes import ProcessSpec, environment
from services.contracts.processes import SupervisorBody
from services.kit.settings import Platform

log = logging.getLogger(__name__)

TICK_S = 0.2
GRACE_S = 20.0
LAST_GRACE_S = 5.0


class AlreadyRunning(CommandError):
    """Another supervisor holds this home."""

    exit_code = 0


class Supervisor:
    """Runs `specs` as children of this process, which must have only one thread."""

    def __init__(
        self,
        platform: Platform,
        specs: Sequence[ProcessSpec],
        inherited: Mapping[str, str],
        grace_s: float = GRACE_S,
    ) -> None:
        self.platform = platform
        self.grace_s = grace_s
        self.started_at = time.time()
        self.stopped_by: signal.Signals | None = None
        self.guardian: subprocess.Popen[bytes] | None = None
        self.lock = state.Lock(platform.run_folder)
        told = {**inherited, **environment(platform)}
        self.children = [Child(spec, platform.log_folder / f"{spec.name}.log", told) for spec in specs]

    def run(self) -> None:
        """Start everything, restart what ends, and on SIGTERM or SIGINT stop everything.

        Raises AlreadyRunning if another supervisor holds this home.
        """
        if not self.lock.take(patience_s=1.0):
            raise AlreadyRunning(f"The platform in {self.platform.home} is already running; `tandem down` stops it.")
        try:
            self._listen_to_signals()
            self._clear_leftovers()
            self.guardian = _start_guardian(self.platform.home)
            self._write()
            self._watch()
        finally:
            self._stop()
            self.lock.release()

    def _clear_leftovers(self) -> None:
        if left := state.sweep(self.platform.home, grace_s=5.0):
            log.warning("ended %d processes that an earlier supervisor left: %s", len(left), left)
        state.clear_run_folder(self.platform.run_folder)

    def _listen_to_signals(self) -> None:
        def stop(number: int, _frame: FrameType | None) -> None:
            self.stopped_by = signal.Signals(number)  # told later: a signal may come while a line is being written

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, stop)

    def _watch(self) -> None:
        while self.stopped_by is None:
            for changed in [child for child in self.children if child.tend(time.time())]:
                self._log(changed)
                self._write()
            time.sleep(TICK_S)
        log.info("stopping on %s", self.stopped_by.name)

    def _log(self, child: Child) -> None:
        body = child.body()
        if body.state == "running":
            log.info("%s runs, pid %s", body.name, body.pid)
        else:
            log.warning("%s is %s, exit %s, %d in a row", body.name, body.state, body.last_exit, body.failures)

    def _write(self) -> None:
        try:
            state.write_state(self.platform.run_folder, self.body())
        except OSError as error:  # a full disk must not end what runs
            log.error("the state could not be written: %s", error)

    def body(self) -> SupervisorBody:
        return SupervisorBody(
            pid=os.getpid(),
            home=str(self.platform.home),
            gateway_url=self.platform.gateway_url,
            dashboard_url=self.platform.dashboard_url,
            started_at=self.started_at,
            processes=[child.body() for child in self.children],
        )

    def _stop(self) -> None:
        stop_all([child for child in self.children if not child.spec.leaves_last], self.grace_s)
        stop_all([child for child in self.children if child.spec.leaves_last], LAST_GRACE_S)
        state.sweep(self.platform.home, grace_s=5.0)
        state.clear_run_folder(self.platform.run_folder)
        if self.guardian is not None:
            self.guardian.kill()
            self.guardian.wait()
        log.info("stopped")


def _start_guardian(home: Path) -> subprocess.Popen[bytes]:
    """A process in its own session that outlives this one just long enough to end what it left."""
    argv = (sys.executable, "-m", guardian.__name__, str(home))
    return subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True)


def stop_all(children: Sequence[Child], grace_s: float) -> None:
    """SIGTERM to every group, and SIGKILL to those that still exist after `grace_s` seconds."""
    for child in children:
        child.signal_group(signal.SIGTERM)
    if not _wait_gone(children, grace_s):
        for child in children:
            child.signal_group(signal.SIGKILL)
        _wait_gone(children, 5.0)


def _wait_gone(children: Sequence[Child], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if all(child.group_is_gone() for child in children):
            return True
        time.sleep(0.05)
    return all(child.group_is_gone() for child in children)
