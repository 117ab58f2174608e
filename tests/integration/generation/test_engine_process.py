"""The guard of an engine: whoever dies, no process stays."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from services.generation.engines.cores import Cores, allowed_cores, pin
from services.generation.engines.engine import Launch
from services.generation.engines.process import EngineProcess, session_members
from services.generation.settings import EngineName

FAMILY = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN if 'stubborn' in sys.argv else signal.SIG_DFL)
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('up', flush=True)
time.sleep(600)
"""

OWNER = """
import sys, time
from pathlib import Path
from tests.integration.generation.test_engine_process import started
print(started(Path(sys.argv[1]), 'stubborn').pid, flush=True)
time.sleep(600)
"""


class NoEngine:
    name: EngineName = "vllm"

    def prepare(self, slot: str, weights: Path, model: str, cores: Cores) -> Launch:
        raise NotImplementedError

    def unfinished_requests(self, client: httpx.Client) -> int | None:
        raise NotImplementedError


def started(folder: Path, *words: str) -> EngineProcess:
    """An engine of two processes, the second deaf to SIGTERM; with `stubborn` both are."""
    launch = Launch((sys.executable, "-c", FAMILY, *words), {}, folder, "unix:/none")
    process = EngineProcess(NoEngine(), launch, allowed_cores(), folder / "logs" / "slot.log")
    wait_for(lambda: len(session_members(process.pid)) == 3, 10)
    return process


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_stopping_ends_children_that_ignore_the_signal(tmp_path: Path) -> None:
    process = started(tmp_path)
    process.stop(15)
    assert session_members(process.pid) == []


def test_an_engine_that_ignores_the_signal_is_killed_within_the_bound(tmp_path: Path) -> None:
    process = started(tmp_path, "stubborn")
    begin = time.monotonic()
    process.stop(1)
    assert session_members(process.pid) == []
    assert time.monotonic() - begin < 3


def test_a_service_that_is_killed_leaves_no_engine(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        guard = int(owner.stdout.readline())
        assert len(session_members(guard)) == 3
        owner.kill()
    wait_for(lambda: session_members(guard) == [], 15)


def test_an_engine_whose_guard_is_killed_ends(tmp_path: Path) -> None:
    process = started(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: process.exit_reason() is not None, 5)
    process.stop(5)
    assert session_members(process.pid) == []


def test_the_command_of_an_engine_is_told_as_a_shell_would_take_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    launch = Launch((sys.executable, "-c", "", "--chat-template=it's $x"), {}, tmp_path, "unix:/none")
    EngineProcess(NoEngine(), launch, allowed_cores(), tmp_path / "slot.log").stop(5)
    (told,) = [record.getMessage() for record in caplog.records if "an engine starts" in record.getMessage()]
    assert shlex.split(told.partition("slot.log: ")[2]) == list(launch.command)


def test_a_crash_is_told_with_the_end_of_the_log(tmp_path: Path) -> None:
    launch = Launch((sys.executable, "-c", "raise SystemExit('no room for weights')"), {}, tmp_path, "unix:/none")
    process = EngineProcess(NoEngine(), launch, allowed_cores(), tmp_path / "slot.log")
    wait_for(lambda: process.exit_reason() is not None, 10)
    assert process.exit_reason() == (
        f"The engine ended with code 1. The end of {tmp_path / 'slot.log'}: no room for weights"
    )
    assert (tmp_path / "slot.log").stat().st_mode & 0o077 == 0
    process.stop(1)


@pytest.mark.skipif(len(allowed_cores()) < 2, reason="there is one core only")
def test_a_running_engine_moves_to_other_cores(tmp_path: Path) -> None:
    process = started(tmp_path)
    last = allowed_cores()[-1:]
    process.pin(last)
    assert {tuple(os.sched_getaffinity(member)) for member in session_members(process.pid)} == {last}
    process.stop(15)
    pin([process.pid], last)
