"""The health check of a container, against a real HTTP server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from services.kit.probe import NotAlive, probe
from services.kit.settings import Platform


class Healthy(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        return


class Unhealthy(Healthy):
    status = 500


@contextmanager
def serving(handler: type[Healthy]) -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def test_a_service_that_answers_is_alive(tmp_path: Path) -> None:
    with serving(Healthy) as port:
        probe("gateway", Platform(home=tmp_path, gateway_url=f"http://gateway:{port}", listen_host="0.0.0.0"))


def test_a_service_that_answers_with_an_error_is_not_alive(tmp_path: Path) -> None:
    with serving(Unhealthy) as port, pytest.raises(NotAlive, match="answers 500"):
        probe("gateway", Platform(home=tmp_path, gateway_url=f"http://127.0.0.1:{port}"))


def test_a_service_that_nobody_answers_for_is_not_alive(tmp_path: Path) -> None:
    with pytest.raises(NotAlive, match="does not answer"):
        probe("retrieval", Platform(home=tmp_path))
