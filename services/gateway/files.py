"""Uploaded files: bytes in the files' folder, a row in the database."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import BinaryIO

import fsspec
from sqlalchemy import select, update

from services.database.engine import Sessions
from services.database.tables import File, StoreFile, now
from services.kit.errors import ApiError
from training.dataset import parse_dataset
from training.errors import InvalidDataset

PURPOSES = ("assistants", "user_data", "fine-tune")
PIECE = 1 << 20


class Files:
    def __init__(self, sessions: Sessions, files_url: str, max_bytes: int) -> None:
        self._sessions, self._root, self._max_bytes = sessions, files_url.rstrip("/"), max_bytes

    def store(self, workspace_id: str, filename: str, purpose: str, source: BinaryIO) -> File:
        """Keep an upload. A fine-tuning file is checked line by line first. Raises ApiError 400, 413."""
        if purpose not in PURPOSES:
            raise ApiError(
                400, f"The purpose must be one of {', '.join(PURPOSES)}.", code="invalid_value", param="purpose"
            )
        file_id = f"file-{secrets.token_hex(12)}"
        path = f"{self._root}/{workspace_id}/{file_id}"
        size, sha256 = self._write(path, source)
        try:
            self._check(path, filename, purpose, size)
            row = File(id=file_id, workspace_id=workspace_id, filename=filename, purpose=purpose, bytes=size,
                       sha256=sha256, path=path)  # fmt: skip
            with self._sessions.begin() as session:
                session.add(row)
        except BaseException:
            _remove(path)
            raise
        return row

    def _write(self, path: str, source: BinaryIO) -> tuple[int, str]:
        digest, size = hashlib.sha256(), 0
        with fsspec.open(path, "wb", auto_mkdir=True) as target:
            while piece := source.read(PIECE):
                size += len(piece)
                digest.update(piece)
                target.write(piece)
        return size, digest.hexdigest()

    def _check(self, path: str, filename: str, purpose: str, size: int) -> None:
        if size == 0:
            raise ApiError(400, f"'{filename}' is empty; nothing was stored.", code="empty_file", param="file")
        if size > self._max_bytes:
            raise ApiError(
                413, f"'{filename}' has {size} bytes; the limit is {self._max_bytes}.", code="file_too_large"
            )
        if purpose == "fine-tune":
            try:
                parse_dataset(_read(path))
            except InvalidDataset as error:
                raise ApiError(400, f"'{filename}': {error}", code="invalid_training_file", param="file") from error

    def find(self, workspace_id: str, file_id: str) -> File:
        query = select(File).where(File.id == file_id, File.workspace_id == workspace_id, File.deleted_at.is_(None))
        with self._sessions() as session:
            row = session.scalar(query)
        if row is None:
            raise ApiError(404, f"There is no file '{file_id}'.", code="file_not_found", param="file_id")
        return row

    def list(
        self, workspace_id: str, purpose: str | None, limit: int, after: str | None
    ) -> tuple[Sequence[File], bool]:
        """The newest files first, and whether there are more."""
        query = select(File).where(File.workspace_id == workspace_id, File.deleted_at.is_(None))
        query = query.where(File.purpose == purpose) if purpose else query
        if after:
            query = query.where(File.created_at < self.find(workspace_id, after).created_at)
        with self._sessions() as session:
            rows = session.scalars(query.order_by(File.created_at.desc()).limit(limit + 1)).all()
        return rows[:limit], len(rows) > limit

    def content(self, workspace_id: str, file_id: str) -> tuple[File, bytes]:
        row = self.find(workspace_id, file_id)
        return row, _read(row.path)

    def delete(self, workspace_id: str, file_id: str) -> Sequence[str]:
        """Hide the file at once, in every store, then remove its bytes. Returns the stores that held it."""
        row = self.find(workspace_id, file_id)
        with self._sessions.begin() as session:
            session.execute(update(File).where(File.id == file_id).values(deleted_at=now()))
            held = StoreFile.file_id == file_id, StoreFile.deleted.is_(False)
            stores = session.scalars(select(StoreFile.store_id).where(*held)).all()
            gone = {"deleted": True, "revision": StoreFile.revision + 1, "status": "cancelled"}
            session.execute(update(StoreFile).where(*held).values(**gone))
        _remove(row.path)
        return stores


def _read(path: str) -> bytes:
    with fsspec.open(path, "rb") as source:
        content: bytes = source.read()
        return content


def _remove(path: str) -> None:
    filesystem, name = fsspec.core.url_to_fs(path)
    if filesystem.exists(name):
        filesystem.rm(name)
