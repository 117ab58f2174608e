"""A folder: its files and those in its folders, without hidden ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from retrieval.errors import SourceUnavailable
from retrieval.sources.beneath import Root
from retrieval.sources.port import Bounds, Content, Entry


class FolderSource:
    """Links to files inside the folder are read. Links to folders are not followed, so each file is listed once."""

    def __init__(self, path: Path, bounds: Bounds, url_prefix: str | None = None) -> None:
        self._root = Root(path, bounds.max_file_bytes, url_prefix)

    def entries(self) -> Iterator[Entry]:
        for key in self._keys(""):
            entry = self._root.entry(key)
            if entry is not None:
                yield entry
        self._root.check()

    def read(self, entry: Entry, known_hint: str | None) -> Content | None:  # noqa: ARG002
        return self._root.read(entry)

    def revision(self) -> str | None:
        return None

    def _keys(self, folder: str) -> Iterator[str]:
        path = self._root.path / folder
        try:
            with os.scandir(path) as found:
                children = sorted((child.name, child.is_dir(follow_symlinks=False)) for child in found)
        except OSError as error:
            raise SourceUnavailable(f"{path} cannot be listed: {error.strerror}.") from error
        for name, is_folder in children:
            if name.startswith("."):
                continue
            if is_folder:
                yield from self._keys(f"{folder}{name}/")
            else:
                yield f"{folder}{name}"
