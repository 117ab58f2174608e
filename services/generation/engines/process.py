"""One engine as a running program: started under a guard, logged to a file, moved between cores, stopped."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from services.generation.engines import cores as core_groups
from services.generation.engines import guard
from services.generation.engines.cores import Cores
from services.generation.engines.engine import Engine, Launch
from services.kit.http import client
from services.kit.private import append_descriptor

logger = logging.getLogger(__name__)

LOG_TAIL_LINES = 3
KEPT_LOG_BYTES = 20_000_000
GONE_SECONDS = 5.0  # a killed process is there until the kernel has its memory back, 4 GB of it here


class EngineProcess:
    """A started engine. Its guard and all processes of the engine share one session."""

    def __init__(self, engine: Engine, launch: Launch, cores: Cores, log: Path) -> None:
        self.address, self._engine, self._log = launch.address, engine, log
        logger.info("an engine starts; it logs to %s: %s", log, shlex.join(launch.command))
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > KEPT_LOG_BYTES:
            log.replace(log.with_suffix(".old.log"))
        with os.fdopen(append_descriptor(log), "ab") as output:
            self._guard = subprocess.Popen(
                [sys.executable, "-P", guard.__file__, _listed(cores), "--", *launch.command],
                env={**os.environ, **launch.environment},
                cwd=launch.folder,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._guard.pid

    def exit_reason(self) -> str | None:
        """Why the engine has ended, with the end of its log; None while it runs."""
        code = self._guard.poll()
        if code is None:
            return None
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        return f"The engine {how}. The end of {self._log}: {self._log_tail()}"

    def unfinished_requests(self) -> int | None:
        """Requests under way; None if the engine does not report them or does not answer."""
        try:
            with client(self.address, token="", timeout=2) as http:
                return self._engine.unfinished_requests(http)
        except httpx.HTTPError:
            return None

    def pin(self, cores: Cores) -> None:
        core_groups.pin(session_members(self.pid), cores)

    def stop(self, seconds: float) -> None:
        """End the engine; after `seconds`, kill what is left of it. Afterwards none of its processes exists.

        A second call does no harm.
        """
        if self._guard.poll() is None:
            self._guard.terminate()
        try:
            self._guard.wait(seconds)
        except subprocess.TimeoutExpired:
            logger.warning("an engine did not end within %s s and is killed; its log is %s", seconds, self._log)
        self._kill_what_is_left()
        if self._guard.stdin:
            self._guard.stdin.close()

    def _kill_what_is_left(self) -> None:
        deadline = time.monotonic() + GONE_SECONDS
        while (members := session_members(self.pid)) and time.monotonic() < deadline:
            for member in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(member, signal.SIGKILL)
            time.sleep(0.05)
        self._guard.wait()

    def _log_tail(self) -> str:
        with self._log.open("rb") as file:
            file.seek(max(0, self._log.stat().st_size - 4000))
            lines = file.read().decode(errors="replace").strip().splitlines()
        return " | ".join(line.strip() for line in lines[-LOG_TAIL_LINES:]) or "(empty)"


def session_members(session: int) -> list[int]:
    """The processes of a session that have not ended."""
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _session_of(entry) == session:
            members.append(int(entry.name))
    return members


def _session_of(process: Path) -> int | None:
    try:
        state, _parent, _group, session = (process / "stat").read_text().rpartition(")")[2].split()[:4]
        return int(session) if state not in "XZ" else None
    except (OSError, ValueError):
        return None


def _listed(cores: Cores) -> str:
    return ",".join(str(core) for core in cores)
