"""The command's client of the public HTTP API: errors in words, and retries within limits."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import httpx

from services.command.errors import CommandError, NotRunning
from services.command.supervisor.state import running_state
from services.kit.events import read_events
from services.kit.http import base_url, bearer, socket_path
from services.kit.settings import Platform

TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 330.0  # above the gateway's own limit for an answer
MOST_TRIES = 6
LONGEST_PAUSE_S = 60.0
Json = dict[str, Any]
Pause = Callable[[float], None]


class Refused(CommandError):
    """The platform understood the request and refused it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Api:
    """Calls of the public API. Raises NotRunning if nothing answers or a part is down, Refused for all other errors."""

    def __init__(
        self, address: str, key: str, transport: httpx.BaseTransport | None = None, pause: Pause = time.sleep
    ) -> None:
        self._address, self.pause = address, pause
        transport = transport or httpx.HTTPTransport(uds=socket_path(address))
        self._http = httpx.Client(
            base_url=base_url(address), headers=bearer(key), timeout=TIMEOUT_S, transport=transport, trust_env=False
        )

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_error: object) -> None:
        self._http.close()

    def get(self, path: str, **parameters: str | int) -> Json:
        return self._call("GET", path, params=parameters)

    def every(self, path: str, **parameters: str) -> Iterator[Json]:
        """Every object of a list, page by page."""
        after: dict[str, str] = {}
        while True:
            page = self.get(path, limit=100, **parameters, **after)
            yield from page["data"]
            if not page.get("has_more"):
                return
            after = {"after": page["data"][-1]["id"]}

    def post(self, path: str, body: Json | None = None, timeout: float = TIMEOUT_S) -> Json:
        return self._call("POST", path, json=body or {}, timeout=timeout)

    def delete(self, path: str, **parameters: str) -> Json:
        return self._call("DELETE", path, params=parameters)

    def upload(self, name: str, source: BinaryIO, purpose: str) -> Json:
        """POST /v1/files. The name may contain folders."""

        def parts() -> Json:
            source.seek(0)
            return {"data": {"purpose": purpose}, "files": {"file": (name, source)}, "timeout": 600.0}

        return self._retry(lambda: self._http.post("/v1/files", **parts()))

    @contextmanager
    def stream(self, path: str, body: Json) -> Iterator[Iterator[str]]:
        """The data of each event of a stream of server-sent events."""
        try:
            with self._http.stream("POST", path, json=body, timeout=ANSWER_TIMEOUT_S) as response:
                if response.status_code >= 400:
                    response.read()
                    raise self._failure(response)
                yield read_events(response)
        except httpx.TransportError as error:
            raise self._silence(error) from error
        except UnicodeEncodeError as error:
            raise _not_utf8() from error

    def default_store(self) -> str:
        """The id of the workspace's default store. Raises CommandError if it has none."""
        for store in self.every("/v1/vector_stores"):
            if store.get("metadata", {}).get("default") == "true":
                return str(store["id"])
        raise CommandError("This workspace has no default vector store; name one with --store.")

    def _call(self, method: str, path: str, **options: Any) -> Json:
        return self._retry(lambda: self._http.request(method, path, **options))

    def _retry(self, send: Callable[[], httpx.Response]) -> Json:
        """Send again while the answer is "too many requests": a request that was refused for this has changed
        nothing."""
        for left in reversed(range(MOST_TRIES)):
            try:
                response = send()
            except httpx.TransportError as error:
                raise self._silence(error) from error
            except UnicodeEncodeError as error:
                raise _not_utf8() from error
            if response.status_code != 429 or not left:
                break
            self.pause(min(LONGEST_PAUSE_S, _retry_after(response)))
        if response.status_code >= 400:
            raise self._failure(response)
        return _json(response)

    def _silence(self, error: httpx.TransportError) -> CommandError:
        if isinstance(error, httpx.ConnectError):
            return NotRunning(f"No platform answers at {self._address}. Start it with `tandem up --detach`.")
        return NotRunning(f"The platform at {self._address} broke off ({type(error).__name__}); see `tandem status`.")

    def _failure(self, response: httpx.Response) -> CommandError:
        error = _json(response).get("error")
        message = str(error.get("message")) if isinstance(error, dict) else f"HTTP {response.status_code}"
        if response.status_code in (502, 503, 504):
            return NotRunning(message)
        code = str(error.get("code")) if isinstance(error, dict) else ""
        if response.status_code == 401:
            message += " The command takes the key from TANDEM_API_KEY, else from secrets/api_key in the home; "
            message += "`tandem keys recover` puts a new one there."
        return Refused(response.status_code, code, message)


def _not_utf8() -> Refused:
    return Refused(400, "invalid_value", "What was given holds bytes that are no UTF-8; write it in UTF-8.")


def _json(response: httpx.Response) -> Json:
    try:
        content = response.json()
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {"data": content}


def _retry_after(response: httpx.Response) -> float:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else 2.0


def escape(name: str) -> str:
    """A name as one segment of a path; a version's colons stay readable."""
    return quote(name, safe=":", errors="replace")


def find_key(platform: Platform) -> str:
    """The key to call with.

    Raises NotRunning for a home that was never started, CommandError if its key file was removed.
    """
    if key := os.environ.get("TANDEM_API_KEY", "").strip():
        return key
    path = platform.secrets_folder / "api_key"
    if path.is_file():
        return path.read_text(encoding="utf-8").strip()
    if not platform.secrets_folder.is_dir():
        raise NotRunning(f"No platform was ever started in {platform.home}. Start it with `tandem up --detach`.")
    raise CommandError(
        f"No API key: set TANDEM_API_KEY, put a key into {path}, or make one with `tandem keys recover`."
    )


def find_address(platform: Platform) -> str:
    """Where to call: TANDEM_GATEWAY_URL, else the address of the home's running platform, else the settings."""
    if "TANDEM_GATEWAY_URL" in os.environ:
        return platform.gateway_url
    running = running_state(platform)
    return running.gateway_url if running else platform.gateway_url


def connect(home: Path | None) -> Api:
    """A client of the platform in this home."""
    platform = Platform() if home is None else Platform(home=home)
    return Api(find_address(platform), find_key(platform))
