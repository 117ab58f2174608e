"""Files that only this user may read, from the first byte written."""

from __future__ import annotations

import os
from pathlib import Path

ONLY_ME = 0o600


def write_private(path: Path, text: str) -> None:
    """Write a file with mode 0600, completely or not at all; an existing file is replaced."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, ONLY_ME), "w", encoding="utf-8") as file:
        file.write(text)
    part.replace(path)


def append_descriptor(path: Path) -> int:
    """A descriptor that appends to a file with mode 0600, for a process to write its log to. The caller must
    close it."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, ONLY_ME)
