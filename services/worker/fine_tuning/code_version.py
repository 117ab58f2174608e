"""The version of the code that makes a version of weights."""

from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path

import services

GIT_SECONDS = 10.0


def code_version() -> str:
    """The package's version; if it runs from its own working tree, also the commit: `0.1.0+821f497c8552`.

    If the tree has changes that are not committed, it ends in `-dirty`.
    """
    root = Path(services.__path__[0]).parent
    commit = _git(root, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    inside = _git(root, "rev-parse", "--show-toplevel")
    ours = bool(inside) and Path(inside).resolve() == root.resolve()
    return version("tandem-platform") + (f"+{commit}" if ours and commit else "")


def _git(root: Path, *arguments: str) -> str:
    """The output of git; nothing if there is no git or no working tree."""
    try:
        done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, timeout=GIT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
