"""Runs docker-compose.yml without Docker: each service's own command, environment and health check, as processes.

Host names become 127.0.0.1 with free ports, `/data` becomes one folder, Valkey is the server of the wheel, PostgreSQL
a real one where its programs are found and SQLite where not, and the index is the embedded one.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from harness.platform import free_port
from services.command.supervisor.broker import find_server
from tests.support.compose import OURS, SECRETS, environment, read

HOSTS = ("gateway", "dashboard", "retrieval", "generation", "redis", "postgres")
ADDRESS = re.compile(rf"(?<=[/@])({'|'.join(HOSTS)}):\d+")
POSTGRES_FOLDERS = [str(folder) for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]


@dataclass
class ComposePlatform:
    """A platform in `home`. `variables` are what .env would hold beside the secrets."""

    home: Path
    variables: dict[str, str] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    postgres_home: Path | None = None
    sqlite: str = ""

    def __post_init__(self) -> None:
        made = {name: secrets.token_hex(16) for name in SECRETS}
        self.variables = {**made, "TANDEM_INDEX_URL": "", **self.variables}
        self.services: dict[str, Any] = read(self.variables)["services"]
        self.ports = {host: free_port() for host in HOSTS}
        (self.home / "logs").mkdir(parents=True)
        for volume in self._volumes():
            self.local(volume).mkdir(exist_ok=True, mode=0o700)

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}"

    def local(self, text: str) -> Path:
        return Path(self._here(text))

    def start_all(self, seconds: float) -> None:
        """Start every service once what it depends on is as its condition says."""
        self.start_stores()
        for name in self._order():
            self.start(name)
            if self.services[name]["healthcheck"].get("disable"):
                assert self.processes.pop(name).wait(60) == 0, self.log(name)
            elif name == "retrieval":  # others wait for its health
                self.wait_until_healthy(name, seconds)

    def start(self, name: str) -> None:
        command = [self._here(word) for word in self.services[name]["command"]]
        self._spawn(name, command, self.environment(name))

    def environment(self, name: str) -> dict[str, str]:
        """What Compose would give the container, and what the image has by itself."""
        image = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "HF_HUB_OFFLINE": "1",
            "PYTHONUNBUFFERED": "1",
        }
        given = {key: self._here(value) for key, value in environment(self.services[name], self.home).items()}
        if self.sqlite and "TANDEM_DATABASE_URL" in given:
            given["TANDEM_DATABASE_URL"] = self.sqlite
        return {**image, **given}

    def healthy(self, name: str) -> bool:
        """Whether the service's own health check passes."""
        kind, *command = self.services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        done = subprocess.run(
            command, env=self.environment(name), cwd=self.home, capture_output=True, timeout=60, check=False
        )
        return done.returncode == 0

    def wait_until_healthy(self, name: str, seconds: float) -> None:
        def check() -> bool:
            assert self.processes[name].poll() is None, f"{name} ended: {self.log(name)}"
            return self.healthy(name)

        wait_for(check, seconds, lambda: f"{name} is not healthy: {self.log(name)}")

    def log(self, name: str) -> str:
        return (self.home / "logs" / f"{name}.log").read_text(errors="replace")[-3000:]

    def stop(self) -> None:
        """End everything, the last started first; what does not end within 20 s is killed."""
        for process in reversed(self.processes.values()):
            process.terminate()
        deadline = time.monotonic() + 20
        for process in reversed(self.processes.values()):
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if self.postgres_home:
            shutil.rmtree(self.postgres_home, ignore_errors=True)

    def _here(self, text: str) -> str:
        text = ADDRESS.sub(lambda found: f"127.0.0.1:{self.ports[found[1]]}", text)
        return re.sub(r"/data\b", str(self.home), text).replace("0.0.0.0", "127.0.0.1")

    def _volumes(self) -> set[str]:
        volumes = {volume.split(":")[1] for name in OURS for volume in self.services[name].get("volumes", [])}
        return volumes

    def _order(self) -> list[str]:
        ordered: list[str] = []
        left = list(OURS)
        while left:
            ready = [one for one in left if not set(self.services[one].get("depends_on", {})) & set(left)]
            assert ready, f"these services wait for each other: {left}"
            ordered += ready
            left = [one for one in left if one not in ready]
        return ordered

    def start_stores(self) -> None:
        """Valkey, and PostgreSQL where its programs are; SQLite else."""
        self._start_broker()
        programs = os.pathsep.join([os.environ["PATH"], *POSTGRES_FOLDERS])
        initdb, server = shutil.which("initdb", path=programs), shutil.which("postgres", path=programs)
        if initdb and server:
            self._start_postgres(initdb, server)
            self._create_database()
        else:
            self.sqlite = f"sqlite:///{self.home}/tandem.db"

    def _start_broker(self) -> None:
        _, *options = self.services["redis"]["command"]
        place = ["--port", str(self.ports["redis"]), "--bind", "127.0.0.1", "--dir", str(self.home)]
        self._spawn("redis", [str(find_server()), *options, *place], {"PATH": os.environ["PATH"]})

    def _start_postgres(self, initdb: str, server: str) -> None:
        user = _unprivileged()
        self.postgres_home = folder = Path(tempfile.mkdtemp(prefix="tandem-postgres-"))
        password = folder / "password"
        password.write_text(self.services["postgres"]["environment"]["POSTGRES_PASSWORD"])
        if user:
            for path in (password, folder):
                shutil.chown(path, user)
        options = ["-U", "tandem", "--auth=scram-sha-256", f"--pwfile={password}", "-E", "UTF8", "--no-sync"]
        make = [initdb, "-D", str(folder / "data"), *options]
        subprocess.run(make, check=True, capture_output=True, user=user, cwd="/")
        place = ["-p", str(self.ports["postgres"]), "-h", "127.0.0.1", "-k", "", "-c", "fsync=off"]
        run = [server, "-D", str(folder / "data"), *place]
        with (self.home / "logs" / "postgres.log").open("wb") as log:
            self.processes["postgres"] = subprocess.Popen(
                run, stdout=log, stderr=log, user=user, cwd="/", start_new_session=True
            )

    def _create_database(self) -> None:
        url = self.environment("gateway")["TANDEM_DATABASE_URL"].replace("+psycopg", "").removesuffix("tandem")
        url += "postgres"

        def create() -> bool:
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url, autocommit=True) as connection:
                connection.execute("CREATE DATABASE tandem")
                return True
            return False

        wait_for(create, 20, lambda: "PostgreSQL does not answer")

    def _spawn(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        with (self.home / "logs" / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, env=environment, cwd=self.home, stdout=log, stderr=log, start_new_session=True
            )


def _unprivileged() -> str | None:
    """PostgreSQL does not run as root."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def wait_for(check: Callable[[], bool], seconds: float, otherwise: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.5)
