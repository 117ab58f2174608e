"""The bytes of stored files, in the files' folder or bucket: written, read, removed."""

from __future__ import annotations

import hashlib
import secrets

import fsspec

from services.database.tables import File


def new_file(
    files_url: str, workspace_id: str, filename: str, data: bytes, url: str | None, purpose: str = "assistants"
) -> File:
    """Write a file's bytes; returns its row, to be added to a session."""
    file_id = f"file-{secrets.token_hex(12)}"
    path = f"{files_url.rstrip('/')}/{workspace_id}/{file_id}"
    write_bytes(path, data)
    sha256 = hashlib.sha256(data).hexdigest()
    return File(id=file_id, workspace_id=workspace_id, filename=filename[-255:], purpose=purpose, bytes=len(data),
                sha256=sha256, path=path, url=url)  # fmt: skip


def write_bytes(path: str, content: bytes) -> None:
    """Write them under this path or URL and replace what is there; missing folders are created."""
    with fsspec.open(path, "wb", auto_mkdir=True) as target:
        target.write(content)


def read_bytes(path: str) -> bytes:
    """Raises FileNotFoundError if there are none, PermissionError if they may not be read."""
    with fsspec.open(path, "rb") as source:
        content: bytes = source.read()
    return content


def remove_bytes(path: str) -> None:
    """Does nothing if there are none."""
    remove_listed(*fsspec.core.url_to_fs(path))


def remove_listed(filesystem: fsspec.AbstractFileSystem, name: str) -> None:
    """As `remove_bytes`, by the name that the file system lists: a name with `::` in it is not a URL."""
    if filesystem.exists(name):
        filesystem.rm(name)
