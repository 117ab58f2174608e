"""A gateway on a real socket, and a stranger with a large body and no key."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from tests.gateway_fakes import Gateway

BODY = 60 * 2**20


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    server = uvicorn.Server(uvicorn.Config(Gateway(tmp_path).app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield int(server.servers[0].sockets[0].getsockname()[1])
    server.should_exit = True
    thread.join(10.0)


def test_a_stranger_is_refused_before_a_byte_of_the_body_is_there(port: int) -> None:
    for path in ("/v1/files", "/v1/embeddings", "/v1/chat/completions"):
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {BODY}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port), timeout=5.0) as stranger:
            stranger.sendall(head.encode())
            assert stranger.recv(4096).startswith(b"HTTP/1.1 401")
