"""An API that is a small class, and an output that can be read: what tests of the command ask and look at."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, field
from typing import Any

import httpx
from rich.console import Console

from services.command.api import Api
from services.command.output import Output

STORE = "/v1/vector_stores/vs_1"
CITATION = {"index": 1, "filename": "refunds.md", "page": 2, "quote": "Within 14 days.", "supported": True}


@dataclass
class FakePlatform:
    """A store whose files are indexed at the second look, and fail where their text says so."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    versions: list[dict[str, Any]] = field(default_factory=list)
    busy: int = 0
    calls: list[str] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.calls.append(f"{request.method} {path}")
        if self.busy:
            self.busy -= 1
            return httpx.Response(429, headers={"Retry-After": "3"}, json={"error": {"message": "full", "code": "f"}})
        if request.headers["Authorization"] != "Bearer key":
            return httpx.Response(401, json={"error": {"message": "Wrong key.", "code": "invalid_api_key"}})
        if path == "/v1/vector_stores":
            return self._list([{"id": "vs_0", "metadata": {}}, {"id": "vs_1", "metadata": {"default": "true"}}])
        if path == f"{STORE}/files":
            return self._attach(json.loads(request.content)) if request.method == "POST" else self._look()
        if path.startswith("/v1/files"):
            return self._delete(path) if request.method == "DELETE" else self._upload(request)
        if path.startswith("/v1/jobs"):
            return self._job(path)
        if path == "/v1/embedders":
            return httpx.Response(200, json={"id": "job-1", "asked": json.loads(request.content)})
        if path.startswith("/v1/versions"):
            return self._version(path)
        if path in (f"{STORE}/reindex", f"{STORE}/rollback"):
            return httpx.Response(200, json=job("queued", 0.0, request=json.loads(request.content)))
        return httpx.Response(404, json={"error": {"message": f"no {path}", "code": "not_found"}})

    def _list(self, data: list[dict[str, Any]]) -> httpx.Response:
        return httpx.Response(200, json={"object": "list", "data": data})

    def _upload(self, request: httpx.Request) -> httpx.Response:
        head, _, rest = request.content.partition(b'filename="')
        name = rest.partition(b'"')[0].decode()
        content = rest.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--")[0]
        if not content:
            return httpx.Response(400, json={"error": {"message": f"'{name}' is empty.", "code": "empty_file"}})
        file_id = f"file-{len(self.files)}"
        self.files[file_id] = (name, content)
        assert b"assistants" in head + rest
        return httpx.Response(200, json={"id": file_id})

    def _attach(self, body: dict[str, Any]) -> httpx.Response:
        name, content = self.files[body["file_id"]]
        row = {"id": body["file_id"], "filename": name, "sha256": hashlib.sha256(content).hexdigest()}
        self.rows.append({**row, "status": "in_progress", "last_error": None})
        return httpx.Response(200, json=self.rows[-1])

    def _look(self) -> httpx.Response:
        shown = [dict(row) for row in self.rows]
        for row in self.rows:
            bad = row["id"] in self.files and b"broken" in self.files[row["id"]][1]
            row["status"] = "failed" if bad else "completed"
            row["last_error"] = {"code": "invalid_file", "message": "cannot be read"} if bad else None
        return self._list(shown)

    def _delete(self, path: str) -> httpx.Response:
        self.rows = [row for row in self.rows if row["id"] != path.rpartition("/")[2]]
        return httpx.Response(200, json={"deleted": True})

    def _job(self, path: str) -> httpx.Response:
        if path.endswith("/events"):
            return self._list([{"id": "ftevent-2", "message": "loss 0.4"}, {"id": "ftevent-1", "message": "started"}])
        return httpx.Response(200, json=self.jobs.pop(0) if len(self.jobs) > 1 else self.jobs[0])

    def _version(self, path: str) -> httpx.Response:
        if path.endswith("/publish"):
            ready = self.calls.count(f"POST {path}") >= 3
            return httpx.Response(200, json={"moved_ms": 1.0}) if ready else httpx.Response(202, json=LOADING)
        if path.endswith("/rollback"):
            if not any(row["live"] for row in self.versions):
                refused = {"message": "There is nothing before it.", "code": "nothing_to_roll_back_to"}
                return httpx.Response(409, json={"error": refused})
            self.versions = [{**row, "live": row["previous"], "previous": row["live"]} for row in self.versions]
            return httpx.Response(202, content=b"null")
        if path == "/v1/versions":
            return self._list(self.versions)
        return httpx.Response(200, json=next(row for row in self.versions if path.endswith(row["name"])))


LOADING = {"status": "loading", "version": "ft:a:b:1"}


def job(status: str, progress: float, **more: Any) -> dict[str, Any]:
    base = {"id": "job-1", "kind": "reindex", "status": status, "stage": "embed", "eta_seconds": 75.0, "reason": None}
    return {**base, "progress": progress, "result": {}, **more}


@dataclass
class Screen:
    """An output whose two streams can be read."""

    as_json: bool = False

    def __post_init__(self) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        self.output = Output(self.as_json, Console(file=self.out, width=200), Console(file=self.err, width=200))


class Pauses(list[float]):
    """Remembers the seconds that were to be waited."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def api(platform: FakePlatform, pauses: Pauses | None = None, key: str = "key") -> Api:
    pauses = pauses if pauses is not None else Pauses()
    return Api("http://tandem.invalid", key, httpx.MockTransport(platform), pauses)
