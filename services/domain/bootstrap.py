"""The first start of a platform: folders, secrets, tables, the first workspace with its store and its API key.

Every step may run again without harm. `python -m services.domain.bootstrap` does this for a platform whose processes
another program starts.
"""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.database.engine import migrate, open_sessions
from services.database.tables import ApiKey
from services.domain.keys import ALL_SCOPES, add_workspace, key_row, new_secret
from services.kit.private import write_private
from services.kit.settings import Platform

WORKSPACE_ID = "default"
FIRST_KEY = "first key"


class UnsafeFolder(Exception):
    """A folder for secrets or sockets belongs to somebody else, or is a link."""


@dataclass(frozen=True)
class FirstStart:
    """`key_path` is the file with the first API key; `key_created` says whether this start made it."""

    key_path: Path
    key_created: bool


def bootstrap(platform: Platform) -> FirstStart:
    """Make the platform ready to start.

    Raises UnsafeFolder if a folder in use is not this user's own.
    """
    make_folders(platform)
    for name in ("service_token", "broker_password"):
        write_secret(platform.secrets_folder / name, secrets.token_urlsafe(32))
    migrate(platform.database_url)
    key_path = platform.secrets_folder / "api_key"
    with open_sessions(platform.database_url).begin() as session:
        add_workspace(session, WORKSPACE_ID, "default")
        created = add_first_key(session, key_path)
    return FirstStart(key_path, created)


def make_folders(platform: Platform) -> None:
    """Folders that only this user may enter."""
    if not platform.home.exists():
        platform.home.mkdir(parents=True, mode=0o700)
    for folder in (platform.secrets_folder, platform.run_folder, platform.log_folder, platform.beat_folder):
        folder.mkdir(exist_ok=True, mode=0o700)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise UnsafeFolder(f"{folder} is a link or another user's folder; remove it, or choose another home.")
        folder.chmod(0o700)


def write_secret(path: Path, value: str) -> bool:
    """Write a new 0600 file; leave an existing file unchanged. Returns whether it was written."""
    if path.exists():
        path.chmod(0o600)
        return False
    write_private(path, value + "\n")
    return True


def add_first_key(session: Session, path: Path) -> bool:
    """Record the key in `path`; make a new one if there is no such file. A workspace that has keys gets no further one.

    The file is written first: if a start is interrupted in between, the next one completes it.
    """
    if session.scalar(select(ApiKey.id).where(ApiKey.workspace_id == WORKSPACE_ID).limit(1)) is not None:
        return False
    write_secret(path, new_secret())
    key = path.read_text(encoding="utf-8").strip()
    session.add(first_key(key))
    return True


def first_key(secret: str) -> ApiKey:
    """The key whose secret is stored in the home. It may do everything."""
    row = key_row(secret, WORKSPACE_ID, FIRST_KEY, ALL_SCOPES)
    row.is_first = True
    return row


def main() -> None:
    first = bootstrap(Platform())
    print(f"The database is up to date. The first API key is in {first.key_path}.")


if __name__ == "__main__":
    main()
