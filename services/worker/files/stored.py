"""The bytes of uploaded files, and whether the place that holds them is available."""

from __future__ import annotations

import fsspec

from retrieval.errors import UnreadableFile
from services.database.tables import File
from services.domain.files import read_bytes


class FilesAway(Exception):
    """The folder or bucket of the files is missing, such as a volume that is not mounted, or may not be read.

    The single file is not at fault.
    """


def read(file: File) -> bytes:
    """A file's bytes. Raises UnreadableFile if they are gone, FilesAway if all files are gone or may not be read."""
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
    """False only if the bytes are known to be gone; True if the worker may not look."""
    filesystem, path = fsspec.core.url_to_fs(file.path)
    try:
        filesystem.info(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:
        pass
    return True


def place_exists(file: File) -> bool:
    """Whether the folder for a file's bytes exists."""
    filesystem, path = fsspec.core.url_to_fs(file.path)
    return bool(filesystem.exists(filesystem._parent(path)))
