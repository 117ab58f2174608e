"""Run an app at an address: a TCP port, or a Unix socket that only this user may open."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp

from services.kit.http import socket_path


def serve(app: ASGIApp, address: str, listen_host: str = "") -> None:
    """Serve until SIGTERM; requests under way get 10 seconds to finish.

    `address` is `unix:/path.sock` or `http://host:port`. The service listens on that host, or on `listen_host` if the
    address is the name for other services and not an interface of this machine, as in a container.
    """
    options: dict[str, object] = {"log_config": None, "access_log": False, "timeout_graceful_shutdown": 10}
    path = socket_path(address)
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        Path(path).unlink(missing_ok=True)
        uvicorn.run(app, uds=path, **options)  # type: ignore[arg-type]
    else:
        parts = urlsplit(address)
        host = listen_host or parts.hostname or "127.0.0.1"
        uvicorn.run(app, host=host, port=parts.port or 80, **options)  # type: ignore[arg-type]
