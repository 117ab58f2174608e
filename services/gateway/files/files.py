"""Uploaded files: bytes in the files' folder, a row in the database."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import BinaryIO

import fsspec
from sqlalchemy import ColumnElement, select

from services.database.engine import Sessions
from services.database.tables import File, not_expired, now
from services.domain.data_sets import ANY_NUMBER
from services.domain.files import read_bytes, remove_bytes
from services.domain.removal import remove_files
from services.gateway.http.callers import Caller
from services.gateway.http.paging import Cursor, Place, read_page
from services.gateway.http.visibility import purposes
from services.kit.errors import ApiError
from services.kit.texts import what_is_unfit
from training.data.dataset import parse_dataset
from training.errors import InvalidDataset

LONGEST_NAME = 255
ASKED_AT_ONCE = 500  # SQLite allows 999 values a statement by default in old builds
PURPOSES = ("assistants", "user_data", "fine-tune")
PIECE = 1 << 20


class Files:
    def __init__(self, sessions: Sessions, files_url: str, max_bytes: int) -> None:
        self._sessions, self._root, self._max_bytes = sessions, files_url.rstrip("/"), max_bytes

    def store(
        self, workspace_id: str, filename: str, purpose: str, source: BinaryIO, expires_seconds: int | None = None
    ) -> File:
        """Store an upload, permanently or until it expires. A fine-tuning file is checked line by line first.

        Raises ApiError 400, 413.
        """
        if purpose not in PURPOSES:
            raise ApiError(
                400, f"The purpose must be one of {', '.join(PURPOSES)}.", code="invalid_value", param="purpose"
            )
        if len(filename) > LONGEST_NAME:
            raise ApiError(400, f"The file's name is longer than {LONGEST_NAME} characters.", code="invalid_value",
                           param="file")  # fmt: skip
        if what := what_is_unfit(filename):
            raise ApiError(400, f"The file's name has {what}.", code="invalid_value", param="file")
        file_id = f"file-{secrets.token_hex(12)}"
        path = f"{self._root}/{workspace_id}/{file_id}"
        size, sha256 = self._write(path, source)
        try:
            self._check(path, filename, purpose, size)
            row = File(id=file_id, workspace_id=workspace_id, filename=filename, purpose=purpose, bytes=size,
                       sha256=sha256, path=path, expires_at=_in(expires_seconds))  # fmt: skip
            with self._sessions.begin() as session:
                session.add(row)
        except BaseException:
            remove_bytes(path)
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
            message = f"'{filename}' has {size} bytes; the limit is {self._max_bytes} (`gateway.max_body_bytes`)."
            raise ApiError(413, message, code="file_too_large")
        if purpose == "fine-tune":
            try:
                parse_dataset(read_bytes(path), ANY_NUMBER)
            except InvalidDataset as error:
                raise ApiError(400, f"'{filename}': {error}", code="invalid_training_file", param="file") from error

    def find(
        self, workspace_id: str, file_id: str, purposes: Collection[str] | None = None, param: str = "file_id"
    ) -> File:
        return self.find_all(workspace_id, [file_id], purposes, param)[0]

    def find_all(
        self,
        workspace_id: str,
        file_ids: Sequence[str],
        purposes: Collection[str] | None = None,
        param: str = "file_id",
    ) -> Sequence[File]:
        """These files, in this order. With `purposes`, only files of those purposes count.

        Raises ApiError 404 for the first one that does not exist, with the request's field `param`.
        """
        query = select(File).where(File.workspace_id == workspace_id, *_there())
        query = query.where(File.purpose.in_(purposes)) if purposes is not None else query
        found: dict[str, File] = {}
        with self._sessions() as session:
            for start in range(0, len(file_ids), ASKED_AT_ONCE):
                some = file_ids[start : start + ASKED_AT_ONCE]
                found |= {file.id: file for file in session.scalars(query.where(File.id.in_(some)))}
        for file_id in file_ids:
            if file_id not in found:
                raise ApiError(404, f"There is no file '{file_id}'.", code="file_not_found", param=param)
        return [found[file_id] for file_id in file_ids]

    def list(self, workspace_id: str, purposes: Collection[str], cursor: Cursor) -> tuple[Sequence[File], bool]:
        """A page of the files of these purposes, and whether there are more."""
        query = select(File).where(File.workspace_id == workspace_id, File.purpose.in_(purposes), *_there())

        def place(file_id: str) -> Place:
            return self.find(workspace_id, file_id, purposes).created_at, file_id

        with self._sessions() as session:
            rows, more = read_page(session, query, File.created_at, File.id, cursor, place)
        return [file for (file,) in rows], more

    def content(self, workspace_id: str, file_id: str, purposes: Collection[str] | None = None) -> tuple[File, bytes]:
        row = self.find(workspace_id, file_id, purposes)
        return row, read_bytes(row.path)

    def delete(self, workspace_id: str, file_id: str, purposes: Collection[str] | None = None) -> Sequence[str]:
        """Hide the file at once in every store, then remove its bytes. Returns the stores that held it."""
        row = self.find(workspace_id, file_id, purposes)
        with self._sessions.begin() as session:
            stores = remove_files(session, [file_id])
        remove_bytes(row.path)
        return stores


def check_files(files: Files, caller: Caller, **named: str | None) -> None:
    """Raises ApiError 404 for a file that the caller does not see. `named` maps fields of the request to file ids."""
    for param, file_id in named.items():
        if file_id is not None:
            files.find(caller.workspace_id, file_id, purposes(caller), param)


def _there() -> tuple[ColumnElement[bool], ...]:
    """The condition that a file is not deleted and not expired."""
    return File.deleted_at.is_(None), not_expired(File.expires_at)


def _in(seconds: int | None) -> datetime | None:
    return now() + timedelta(seconds=seconds) if seconds is not None else None
