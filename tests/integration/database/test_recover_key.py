"""A lost or stolen first key is replaced by whoever may read the home, killed anywhere or not."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from sqlalchemy import select

import services.domain.recover as recovery
import services.kit.private as private
from services.database.engine import Sessions, open_sessions
from services.database.tables import ApiKey
from services.domain.bootstrap import bootstrap
from services.domain.keys import ALL_SCOPES, digest, key_row, new_secret
from services.domain.recover import recover
from services.kit.settings import Platform

TRACED = (recovery.__file__, private.__file__)
MOST_STEPS = 100


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    made = Platform(home=tmp_path / "home")
    bootstrap(made)
    return made


def key_file(platform: Platform) -> Path:
    return platform.secrets_folder / "api_key"


def sessions_of(platform: Platform) -> Sessions:
    return open_sessions(platform.database_url)


def works(platform: Platform, secret: str) -> bool:
    with sessions_of(platform)() as session:
        row = session.scalar(select(ApiKey).where(ApiKey.digest == digest(secret)))
    return row is not None and row.revoked_at is None


def working_first_keys(platform: Platform) -> list[ApiKey]:
    with sessions_of(platform)() as session:
        return list(session.scalars(select(ApiKey).where(ApiKey.is_first.is_(True), ApiKey.revoked_at.is_(None))))


def test_a_recovery_puts_a_new_key_in_place_of_the_first_and_leaves_the_others(platform: Platform) -> None:
    former, other = key_file(platform).read_text().strip(), new_secret()
    with sessions_of(platform).begin() as session:
        session.add(key_row(other, "default", "first key", ["ask"]))  # another's by its name
    done = recover(platform)
    secret = key_file(platform).read_text().strip()
    assert secret != former
    assert (works(platform, former), works(platform, secret), works(platform, other)) == (False, True, True)
    assert stat.S_IMODE(key_file(platform).stat().st_mode) == 0o600
    (row,) = working_first_keys(platform)
    assert (row.id, row.workspace_id, tuple(row.scopes)) == (done.key_id, "default", ALL_SCOPES)
    assert len(done.revoked) == 1


def test_a_lost_key_file_is_written_anew(platform: Platform) -> None:
    key_file(platform).unlink()
    recover(platform)
    assert works(platform, key_file(platform).read_text().strip())


def test_a_home_whose_database_was_lost_too_gets_a_key(platform: Platform) -> None:
    for path in platform.home.glob("tandem.db*"):
        path.unlink()
    recover(platform)
    assert works(platform, key_file(platform).read_text().strip())


def test_the_module_tells_where_the_key_is_and_not_what_it_is(platform: Platform) -> None:
    command = [sys.executable, "-m", "services.domain.recover"]
    environment = {**os.environ, "TANDEM_HOME": str(platform.home)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert str(key_file(platform)) in run.stdout
    assert key_file(platform).read_text().strip() not in run.stdout + run.stderr


def kill_at(step: int) -> Callable[[FrameType, str, Any], Any]:
    """A trace function that kills the process before its `step`-th line of what recovers and writes."""
    left = step

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in TRACED:
            return None
        if event == "line":
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
        return trace

    return trace


def recover_until(platform: Platform, step: int) -> None:
    sys.settrace(kill_at(step))
    recover(platform)


def test_killed_before_any_line_the_file_has_a_key_that_works_and_another_run_ends_it(platform: Platform) -> None:
    for step in range(MOST_STEPS):
        process = multiprocessing.get_context("fork").Process(target=recover_until, args=(platform, step))
        process.start()
        process.join(60)
        assert process.exitcode in (0, -signal.SIGKILL)
        assert works(platform, key_file(platform).read_text().strip()), step
        if process.exitcode == 0:
            break
    assert 20 < step < MOST_STEPS - 1
    recover(platform)
    (row,) = working_first_keys(platform)
    assert row.digest == digest(key_file(platform).read_text().strip())
    names = {path.name for path in platform.secrets_folder.iterdir()}
    assert names == {"api_key", "broker_password", "service_token"}


def test_recoveries_at_once_leave_one_key_that_works(platform: Platform) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: recover(platform), range(4)))
    (row,) = working_first_keys(platform)
    assert row.digest == digest(key_file(platform).read_text().strip())
