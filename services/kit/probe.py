"""Is the process in this container alive? `python -m services.kit.probe gateway` exits 0, or 1 with a reason.

Container health checks call it. A service is asked for its `/health`, a worker for a Celery ping, and beat, which has
no port, for the age of the schedule that it writes every three minutes.
"""

from __future__ import annotations

import socket
import sys
import time
from urllib.parse import urlsplit

import httpx

from services.kit.http import client
from services.kit.settings import Platform

ANSWER_SECONDS = 5.0
SCHEDULE_SECONDS = 400.0  # twice the 180 s after which beat writes its schedule, and a little
ANY_HOST = ("0.0.0.0", "::")
IMAGES = {"all": "gateway", "worker": "worker-index"}  # an image's name stands for the process it runs first


class NotAlive(Exception):
    """The process does not do its work; the message says how this was noticed."""


def probe(process: str, platform: Platform) -> None:
    """Raises NotAlive, and ValueError for a name that no process has."""
    name = IMAGES.get(process, process)
    kind, _, queue = name.partition("-")
    if kind == "worker" and queue:
        _ping_worker(f"{queue}@{socket.gethostname()}", platform.broker_url)
    elif name == "beat":
        _check_schedule(platform)
    else:
        _ask_health(own_address(name, platform))


def own_address(service: str, platform: Platform) -> str:
    """The address at which a service in this container answers: its own port, on the host that it listens on."""
    address = getattr(platform, f"{service}_url", None)
    if not isinstance(address, str) or service in ("database", "files", "broker"):
        raise ValueError(f"No process is called '{service}'; use a service, a worker (worker-light) or beat.")
    if address.startswith("unix:") or not platform.listen_host:
        return address
    host = "127.0.0.1" if platform.listen_host in ANY_HOST else platform.listen_host
    return f"http://{host}:{urlsplit(address).port or 80}"


def _ask_health(address: str) -> None:
    try:
        with client(address, token="", timeout=ANSWER_SECONDS) as http:
            status = http.get("/health").status_code
    except httpx.HTTPError as error:
        raise NotAlive(f"{address} does not answer ({type(error).__name__})") from error
    if status != 200:
        raise NotAlive(f"{address}/health answers {status}")


def _ping_worker(name: str, broker_url: str) -> None:
    from services.kit.queue import make_celery  # only the images of gateway and worker have Celery

    with make_celery(broker_url) as app:
        replies = app.control.ping(destination=[name], timeout=ANSWER_SECONDS, limit=1)
    if not replies:
        raise NotAlive(f"the worker {name} does not answer a ping")


def _check_schedule(platform: Platform) -> None:
    written = [path.stat().st_mtime for path in platform.beat_folder.glob("schedule*")]
    if not written or time.time() - max(written) > SCHEDULE_SECONDS:
        raise NotAlive(f"beat has not written its schedule for {SCHEDULE_SECONDS:.0f} s")


def main() -> None:
    try:
        probe(sys.argv[1] if len(sys.argv) > 1 else "", Platform())
    except (NotAlive, ValueError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
