"""A broker for tests that count: a real server on a Unix socket."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.command.supervisor.broker import find_server

SECONDS_TO_START = 10.0


@contextmanager
def counting_broker() -> Iterator[str]:
    """The URL of a broker that keeps nothing and ends with the context."""
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "broker.sock"
        command = [str(find_server()), "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", folder]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            end = time.monotonic() + SECONDS_TO_START
            while not socket.exists():
                assert time.monotonic() < end, "the broker does not start"
                time.sleep(0.02)
            yield f"redis+socket://{socket}"
        finally:
            server.terminate()
            server.wait(10.0)
