"""The folders beside a collection's own, used while it is built on this machine's disk."""

from __future__ import annotations

from pathlib import Path


def unfinished_folder(collection: Path) -> Path:
    """The folder of a collection while it is built."""
    return collection.with_name(f".{collection.name}.building")


def points_folder(collection: Path) -> Path:
    """The folder of a collection's points until its own folder is built."""
    return collection.with_name(f".{collection.name}.points")
