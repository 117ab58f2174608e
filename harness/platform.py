"""A real platform: every process started by `tandem up`, in a home of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from openai import OpenAI

TANDEM = str(Path(sys.executable).parent / "tandem")
TERMINAL = ("succeeded", "failed", "cancelled")


def free_port() -> int:
    """A port of the loopback interface that is free now, with a free one behind it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def api_key(home: Path) -> str:
    """The key that a platform made for itself."""
    return (home / "secrets" / "api_key").read_text().strip()


@dataclass(frozen=True)
class RunningPlatform:
    """A platform that is up. `environment` is what a process needs to belong to it."""

    home: Path
    gateway_url: str
    dashboard_url: str
    environment: dict[str, str]

    @property
    def key(self) -> str:
        return api_key(self.home)

    def openai(self, key: str | None = None) -> OpenAI:
        """The stock client; retries are off so that a test sees each answer."""
        return OpenAI(base_url=f"{self.gateway_url}/v1", api_key=key or self.key, max_retries=0, timeout=300.0)

    def http(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self.gateway_url, headers=headers, timeout=120.0)

    def tandem(self, *arguments: str, timeout: float = 300.0, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the command against this platform."""
        done = subprocess.run(
            [TANDEM, *arguments], env=self.environment, text=True, capture_output=True, timeout=timeout
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"tandem {' '.join(arguments)} ended with {done.returncode}: {done.stderr}{done.stdout}"
            )
        return done

    def json(self, *arguments: str, timeout: float = 300.0) -> Any:
        return json.loads(self.tandem(*arguments, "--json", timeout=timeout).stdout)

    def wait_for_job(self, job_id: str, seconds: float) -> dict[str, Any]:
        """The job once it has ended."""
        deadline = time.monotonic() + seconds
        with self.http() as http:
            while True:
                job: dict[str, Any] = http.get(f"/v1/jobs/{job_id}").raise_for_status().json()
                if job["status"] in TERMINAL:
                    return job
                if time.monotonic() > deadline:
                    raise AssertionError(f"{job_id} is still {job['status']} ({job['stage']}) after {seconds} s")
                time.sleep(0.5)

    def wait_for_file(self, store_id: str, file_id: str, seconds: float = 60.0) -> Any:
        """The vector store's file once it is indexed or has failed."""
        deadline, client = time.monotonic() + seconds, self.openai()
        while True:
            file = client.vector_stores.files.retrieve(file_id, vector_store_id=store_id)
            if file.status != "in_progress":
                return file
            if time.monotonic() > deadline:
                raise AssertionError(f"{file_id} is not indexed after {seconds} s")
            time.sleep(0.1)

    def default_store(self) -> str:
        with self.http() as http:
            stores = http.get("/v1/vector_stores?order=asc").raise_for_status().json()["data"]
        return str(next(store["id"] for store in stores if store["metadata"].get("default") == "true"))


def start(home: Path, **settings: str) -> RunningPlatform:
    """Start a platform and wait until it is ready. `settings` are TANDEM_... variables without the prefix."""
    port = free_port()
    gateway, dashboard = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{free_port()}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TANDEM_")},
        "TANDEM_HOME": str(home),
        "TANDEM_GATEWAY_URL": gateway,
        "TANDEM_DASHBOARD_URL": dashboard,
        **{f"TANDEM_{name}": value for name, value in settings.items()},
    }
    platform = RunningPlatform(home, gateway, dashboard, environment)
    try:
        platform.tandem("up", "--detach", timeout=420.0)
    except BaseException:
        stop(platform)  # one that is late goes on starting, and would slow every later test
        raise
    return platform


def stop(platform: RunningPlatform) -> None:
    platform.tandem("down", timeout=90.0)
