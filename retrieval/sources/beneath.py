"""Files beneath a root folder, and no others: neither `..` nor a symbolic link leads out of it.

A path is opened folder by folder, following no link, so that nothing can be exchanged between the check and the read.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path, PurePosixPath

from retrieval.errors import DocumentGone, DocumentRefused, SourceUnavailable
from retrieval.sources.port import Content, Entry, digest

RACY_SECONDS = 2.0  # a file changed this lately may change again with the same size and time stamp


class Root:
    """A folder to read from. `url_prefix` and a document's path make the address that citations link to."""

    def __init__(self, path: Path, max_file_bytes: int, url_prefix: str | None = None) -> None:
        self.path, self._max_file_bytes, self._url_prefix = path.resolve(), max_file_bytes, url_prefix
        self._identity = self._identify()

    def check(self) -> None:
        """Raises SourceUnavailable if the folder is gone, or another one is in its place."""
        if self._identify() != self._identity:
            raise SourceUnavailable(f"{self.path} was exchanged while it was read, as when a disk is unmounted.")

    def entry(self, key: str) -> Entry | None:
        """A file as listed; None for anything that is not a regular file within the root."""
        inside = self._inside(key)
        if inside is None:
            return None
        try:
            found = (self.path / inside).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise SourceUnavailable(f"{self.path / inside} cannot be looked at: {error.strerror}.") from error
        if not stat.S_ISREG(found.st_mode):
            return None
        settled = time.time() - max(found.st_mtime, found.st_ctime) > RACY_SECONDS
        hint = f"{found.st_mtime_ns}-{found.st_ctime_ns}-{found.st_size}" if settled else None
        return Entry(key, found.st_size, hint)

    def read(self, entry: Entry) -> Content:
        if entry.size is not None and entry.size > self._max_file_bytes:
            raise DocumentRefused(f"{entry.key} has {entry.size} bytes; the limit is {self._max_file_bytes}.")
        data = self._bytes(entry.key)
        if len(data) > self._max_file_bytes:
            raise DocumentRefused(f"{entry.key} has more than {self._max_file_bytes} bytes, the limit.")
        url = f"{self._url_prefix}{entry.key}" if self._url_prefix else None
        return Content(data, entry.key, digest(data), entry.hint, url)

    def _bytes(self, key: str) -> bytes:
        inside = self._inside(key)
        if inside is None:
            raise DocumentRefused(f"{key} lies outside of {self.path}.")
        try:
            with os.fdopen(_open_beneath(self.path, inside), "rb") as file:
                return file.read(self._max_file_bytes + 1)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise DocumentGone(f"{key} is not there any more.") from error
        except PermissionError as error:
            raise DocumentRefused(f"{key} may not be read by the worker; give it the right to.") from error
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
                raise DocumentRefused(f"{key} leads through a link, or its name is too long.") from error
            raise SourceUnavailable(f"{key} cannot be read: {error.strerror}.") from error

    def _inside(self, key: str) -> PurePosixPath | None:
        """The path of the file itself, a link followed, relative to the root; None where it lies elsewhere."""
        inside = PurePosixPath(key)
        if ".." in inside.parts or inside.is_absolute():
            return None
        try:
            if not (self.path / inside).is_symlink():
                return inside
            real = (self.path / inside).resolve()
        except (OSError, RuntimeError):  # a circle of links
            return None
        return PurePosixPath(real.relative_to(self.path)) if real.is_relative_to(self.path) else None

    def _identify(self) -> tuple[int, int]:
        try:
            found = self.path.stat()
        except OSError as error:
            raise SourceUnavailable(f"{self.path} is not there: {error.strerror}. Is it mounted?") from error
        if not stat.S_ISDIR(found.st_mode):
            raise SourceUnavailable(f"{self.path} is no folder.")
        return found.st_dev, found.st_ino


def _open_beneath(root: Path, inside: PurePosixPath) -> int:
    """A descriptor of a regular file. Raises OSError, also if a part of the path is a link."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in inside.parts[:-1]:
            deeper = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = deeper
        found = os.open(inside.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(found).st_mode):
        os.close(found)
        raise FileNotFoundError(str(inside))
    return found
