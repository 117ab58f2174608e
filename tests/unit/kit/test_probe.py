"""The health check of a container asks the process in it, and says what is wrong."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from services.kit.probe import SCHEDULE_SECONDS, NotAlive, own_address, probe
from services.kit.settings import Platform


def test_a_service_in_a_container_is_asked_on_loopback_whatever_others_call_it(tmp_path: Path) -> None:
    platform = Platform(home=tmp_path, gateway_url="http://gateway:8000", listen_host="0.0.0.0")
    assert own_address("gateway", platform) == "http://127.0.0.1:8000"


def test_a_service_that_listens_on_one_interface_is_asked_there(tmp_path: Path) -> None:
    platform = Platform(home=tmp_path, gateway_url="http://gateway:8000", listen_host="10.0.0.7")
    assert own_address("gateway", platform) == "http://10.0.0.7:8000"


def test_a_service_on_a_unix_socket_is_asked_there(tmp_path: Path) -> None:
    platform = Platform(home=tmp_path)
    assert own_address("retrieval", platform) == platform.retrieval_url


def test_beat_is_alive_while_its_schedule_is_fresh(tmp_path: Path) -> None:
    platform = Platform(home=tmp_path)
    with pytest.raises(NotAlive, match="schedule"):
        probe("beat", platform)
    schedule = tmp_path / "beat" / "schedule.dat"
    schedule.parent.mkdir()
    schedule.touch()
    probe("beat", platform)
    old = time.time() - SCHEDULE_SECONDS - 1
    os.utime(schedule, (old, old))
    with pytest.raises(NotAlive, match="schedule"):
        probe("beat", platform)


@pytest.mark.parametrize("name", ["", "nobody", "database"])
def test_a_name_that_no_process_has_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No process"):
        probe(name, Platform(home=tmp_path))
