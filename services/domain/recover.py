"""Replaces a lost first key: `python -m services.domain.recover`, for a user who may read the home and its database.

The platform may be running or stopped. If this is interrupted at any point, the key in the home's secrets still works
(the former or the new one), and another run completes the change.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select, update

from services.database.engine import Sessions, open_sessions
from services.database.tables import ApiKey, now
from services.domain.bootstrap import WORKSPACE_ID, bootstrap, first_key, make_folders
from services.domain.keys import new_secret
from services.kit.private import write_private
from services.kit.settings import Platform


@dataclass(frozen=True)
class Recovered:
    """`key_path` is the file with the new first key, `revoked` the ids of the keys that it replaces."""

    key_path: Path
    key_id: str
    revoked: tuple[str, ...]


def recover(platform: Platform) -> Recovered:
    """Make a new first key, write it into the home's secrets, and revoke the former one.

    Raises UnsafeFolder if a folder in use is not this user's own.
    """
    make_folders(platform)
    with _alone(platform.secrets_folder):
        path = bootstrap(platform).key_path
        sessions = open_sessions(platform.database_url)
        secret = new_secret()
        key_id = _record(sessions, secret)
        for left in path.parent.glob(f".{path.name}.*"):  # by a run that was killed while it wrote
            left.unlink()
        write_private(path, secret + "\n")
        return Recovered(path, key_id, _revoke_former(sessions, key_id))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One recovery at a time: otherwise one of two would revoke the key that the other wrote."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _record(sessions: Sessions, secret: str) -> str:
    row = first_key(secret)
    with sessions.begin() as session:
        session.add(row)
    return row.id


def _revoke_former(sessions: Sessions, key_id: str) -> tuple[str, ...]:
    """The ids of the former first keys, which no longer work; there are several if earlier runs were interrupted."""
    former = ApiKey.workspace_id == WORKSPACE_ID, ApiKey.is_first.is_(True), ApiKey.id != key_id
    with sessions.begin() as session:
        ids = session.scalars(select(ApiKey.id).where(*former, ApiKey.revoked_at.is_(None))).all()
        session.execute(update(ApiKey).where(ApiKey.id.in_(ids)).values(revoked_at=now()))
    return tuple(ids)


def main() -> None:
    done = recover(Platform())
    print(f"A new first key is in {done.key_path}; the former one is revoked.")


if __name__ == "__main__":
    main()
