"""A source: a place that lists documents and hands them over. One adapter in each file."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, Protocol

Kind = Literal["folder", "git", "site", "bucket"]


@dataclass(frozen=True)
class Entry:
    """A document that a source lists.

    `key` names it within the source: a path with slashes, or a URL. `size` is in bytes. The same `hint` means the same
    content; None where the source cannot tell without reading.
    """

    key: str
    size: int | None = None
    hint: str | None = None


@dataclass(frozen=True)
class Content:
    """A document as read. `digest` is the SHA-256 of the relevant content; `url` is where a reader finds it."""

    data: bytes
    filename: str
    digest: str
    hint: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class Bounds:
    """Limits for one source: the largest document in bytes, and the seconds of one request or command."""

    max_file_bytes: int = 64 * 2**20
    request_seconds: float = 20.0


@dataclass(frozen=True)
class Selection:
    """Which of the listed documents are wanted: shell patterns over the whole key, where `*` also matches slashes.

    Without `include`, every key that ends in one of `endings`; what `exclude` matches is left out in any case.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    endings: tuple[str, ...] = ()

    def wants(self, key: str) -> bool:
        if any(fnmatch.fnmatchcase(key, pattern) for pattern in self.exclude):
            return False
        if self.include:
            return any(fnmatch.fnmatchcase(key, pattern) for pattern in self.include)
        return not self.endings or PurePosixPath(key).suffix.lower() in self.endings


class Source(Protocol):
    def entries(self) -> Iterator[Entry]:
        """Every document in the source, lazily.

        Raises SourceUnavailable if the list is not complete: what was not listed may still exist.
        """
        ...

    def read(self, entry: Entry, known_hint: str | None) -> Content | None:
        """A document's content; None if the source says that it has not changed since it gave `known_hint`.

        Raises DocumentRefused, DocumentGone, and SourceUnavailable if nothing can be read any more.
        """
        ...

    def revision(self) -> str | None:
        """The source's own name for its state, such as a commit; None if it has none."""
        ...


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
