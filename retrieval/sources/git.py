"""A Git working tree: the files that it tracks, with their present content."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from retrieval.errors import SourceUnavailable
from retrieval.sources.beneath import Root
from retrieval.sources.port import Bounds, Content, Entry

# A repository's own configuration may name programs to run; another user's repository is as good as ours to read from.
HARMLESS = (
    "safe.directory=*", "core.fsmonitor=false", "core.hooksPath=/dev/null", "core.untrackedCache=false",
    "protocol.allow=never", "core.pager=cat",
)  # fmt: skip


class GitSource:
    """Needs the `git` command. Files in folders or with names that start with a dot are left out, as in a folder."""

    def __init__(self, path: Path, bounds: Bounds, url_prefix: str | None = None) -> None:
        self._root, self._seconds = Root(path, bounds.max_file_bytes, url_prefix), bounds.request_seconds

    def entries(self) -> Iterator[Entry]:
        for name in self._git("ls-files", "--cached", "-z").split(b"\0"):
            key = name.decode("utf-8", "surrogateescape")
            if not key or any(part.startswith(".") for part in key.split("/")):
                continue
            entry = self._root.entry(key)
            if entry is not None:
                yield entry
        self._root.check()

    def read(self, entry: Entry, known_hint: str | None) -> Content | None:  # noqa: ARG002
        return self._root.read(entry)

    def revision(self) -> str | None:
        """The commit that is checked out; None before the first. Uncommitted changes are not included."""
        try:
            return self._git("rev-parse", "--verify", "--quiet", "HEAD").decode("ascii").strip() or None
        except SourceUnavailable:
            return None

    def _git(self, *arguments: str) -> bytes:
        command = shutil.which("git")
        if command is None:
            raise SourceUnavailable("The command git is not installed where the worker runs; install the package git.")
        harmless = [word for setting in HARMLESS for word in ("-c", setting)]
        environment = {
            "PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0",
        }  # fmt: skip
        try:
            done = subprocess.run(
                [command, *harmless, "-C", str(self._root.path), *arguments],
                env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=self._seconds, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            message = f"git {arguments[0]} in {self._root.path} took longer than {self._seconds:g} s."
            raise SourceUnavailable(message) from error
        if done.returncode != 0:
            reason = done.stderr.decode("utf-8", "replace").strip()[-300:] or f"exit code {done.returncode}"
            raise SourceUnavailable(f"git {arguments[0]} in {self._root.path} failed: {reason}")
        return done.stdout
