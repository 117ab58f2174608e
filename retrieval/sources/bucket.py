"""A bucket, or any other place that fsspec can list: s3://bucket/folder, gs://..., abfs://..."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import fsspec

from retrieval.errors import DocumentGone, DocumentRefused, SourceRefused, SourceUnavailable
from retrieval.sources.port import Bounds, Content, Entry, digest

HINTS = ("ETag", "etag", "md5Hash", "content_md5", "LastModified", "last_modified", "updated", "mtime", "created")


class BucketSource:
    """Credentials are the worker's own, from its environment; a source has none.

    Raises SourceRefused if the driver for the URL is not installed.
    """

    def __init__(self, url: str, bounds: Bounds, url_prefix: str | None = None) -> None:
        self._url, self._bounds, self._url_prefix = url.rstrip("/"), bounds, url_prefix
        try:
            self._files, root = fsspec.core.url_to_fs(self._url, use_listings_cache=False)
        except ImportError as error:
            raise SourceRefused(f"{url}: {error} (on the worker), then sync again.") from error
        except ValueError as error:
            raise SourceRefused(f"{url} cannot be opened: {error}") from error
        self._root = str(root).rstrip("/")

    def entries(self) -> Iterator[Entry]:
        try:
            for _folder, _folders, files in self._files.walk(self._root, detail=True, on_error="raise"):
                yield from self._listed(files)
        except Exception as error:  # each driver fails in its own way
            raise SourceUnavailable(f"{self._url} cannot be listed: {type(error).__name__}: {error}") from error

    def read(self, entry: Entry, known_hint: str | None) -> Content | None:  # noqa: ARG002
        most = self._bounds.max_file_bytes
        if entry.size is not None and entry.size > most:
            raise DocumentRefused(f"{entry.key} has {entry.size} bytes; the limit is {most}.")
        try:
            with self._files.open(f"{self._root}/{entry.key}", "rb") as file:
                data = file.read(most + 1)
        except FileNotFoundError as error:
            raise DocumentGone(f"{entry.key} is not there any more.") from error
        except PermissionError as error:
            raise DocumentRefused(f"{entry.key} may not be read with the worker's credentials.") from error
        except Exception as error:  # as above
            raise SourceUnavailable(f"{entry.key} cannot be read: {type(error).__name__}: {error}") from error
        if len(data) > most:
            raise DocumentRefused(f"{entry.key} has more than {most} bytes, the limit.")
        url = f"{self._url_prefix}{entry.key}" if self._url_prefix else None
        return Content(data, entry.key, digest(data), entry.hint, url)

    def revision(self) -> str | None:
        return None

    def _listed(self, files: Mapping[str, Mapping[str, Any]]) -> Iterator[Entry]:
        for info in sorted(files.values(), key=lambda one: str(one["name"])):
            key = str(info["name"]).removeprefix(self._root).lstrip("/")
            if info.get("islink") or not key or any(part.startswith(".") for part in key.split("/")):
                continue
            said = [f"{name}={info[name]}" for name in HINTS if info.get(name)]
            yield Entry(key, info.get("size"), " ".join([*said, f"size={info.get('size')}"]) if said else None)
