"""The bytes of uploaded files, and whether the place where they lie is there at all."""

from __future__ import annotations

import fsspec

from retrieval.errors import UnreadableFile
from services.database.tables import File
from services.domain.files import read_bytes


class FilesAway(Exception):
    """The folder or bucket of the files is not there, as a volume that is not mounted, or may not be read.

    No file is to blame.
    """


def read(file: File) -> bytes:
    """A file's bytes. Raises UnreadableFile where they are gone, FilesAway where all are, or may not be read."""
    try:
        return read_bytes(file.path)
    except FileNotFoundError as error:
        if not place_exists(file):
            raise FilesAway(f"the folder of the files, with '{file.filename}', is not there: is it mounted?") from error
        raise UnreadableFile(
            f"the bytes of '{file.filename}' are gone from the files' folder; upload it again, or delete it"
        ) from error
    except PermissionError as error:
        raise FilesAway(f"'{file.filename}' may not be read; give the worker the right to read all files") from error


def exists(file: File) -> bool:
    """False only where the bytes are known to be gone; not where the worker may not look."""
    filesystem, path = fsspec.core.url_to_fs(file.path)
    try:
        filesystem.info(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:
        pass
    return True


def place_exists(file: File) -> bool:
    """Whether the folder that has, or had, a file's bytes is there."""
    filesystem, path = fsspec.core.url_to_fs(file.path)
    return bool(filesystem.exists(filesystem._parent(path)))
