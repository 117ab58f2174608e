"""How retrieval fails.

RetrievalError
├── InputError            the caller's input is wrong; trying again does not help
│   ├── UnreadableFile        corrupt, encrypted, empty, or without text
│   ├── UnsupportedFormat     no loader for this kind of file
│   ├── InvalidFilter         a filter on attributes that means nothing
│   ├── EmbedderMismatch      the collection was made with another embedder or dimension
│   ├── UnsupportedEmbedder   a runtime cannot run this embedder
│   ├── SourceRefused         a place that the operator's allow-lists do not cover, or that is no source of its kind
│   └── DocumentRefused       a source lists this document but does not hand it over
├── StateError            the thing is not in a state that allows this
│   ├── UnknownCollection     no such collection
│   ├── StaleRevision         the database no longer wants this revision of the file
│   ├── RecipeChanged         points made otherwise than the collection that they are for
│   ├── RecallTooLow          a new collection finds too little of what the live one finds
│   ├── BuildFailed           a collection could not be built: no space, or more changes than it can follow
│   ├── DocumentGone          a source listed this document, but it is not there any more
│   ├── SyncStopped           a source's documents could not be brought in step; says how far it got
│   └── RepairStopped         so much is missing at once that it looks like an outage; says what was found
├── SourceUnavailable     a source cannot be listed or read now; try again later
├── ParserUnavailable     the process that reads files does not start; the installation or the machine is at fault
└── IndexUnavailable      the engine is down; try again later
    └── IndexDamaged          the collection's data cannot be read; reindex the store
"""

from __future__ import annotations

from typing import Any


class RetrievalError(Exception):
    """Base of all errors of this library."""


class InputError(RetrievalError):
    """Wrong input."""


class UnreadableFile(InputError):
    """A file whose format has a loader, but whose text cannot be read."""


class UnsupportedFormat(InputError):
    """A kind of file that no loader reads."""


class InvalidFilter(InputError, ValueError):
    """A filter that cannot be read; a ValueError too, as readers of request bodies expect."""


class EmbedderMismatch(InputError):
    """Vectors of one embedder offered to a collection of another."""


class UnsupportedEmbedder(InputError):
    """An embedder that a runtime cannot run as the original does."""


class SourceRefused(InputError):
    """A source that may not be read, or cannot be one."""


class DocumentRefused(InputError):
    """One document of a source cannot be read: too large, not permitted, an error page."""


class StateError(RetrievalError):
    """Wrong state."""


class UnknownCollection(StateError):
    """A collection that does not exist, or no longer exists."""


class StaleRevision(StateError):
    """A late write for a file that has changed or was removed since."""


class RecipeChanged(StateError):
    """Points that were made in another way than the collection that they are for."""


class RecallTooLow(StateError):
    """A new collection that finds too little of what the live one finds."""


class BuildFailed(StateError):
    """A collection that could not be built."""


class DocumentGone(StateError):
    """One document of a source does not exist any more."""


class SyncStopped(StateError):
    """A sync that stopped before its end. `report` counts what it had done until then."""

    def __init__(self, message: str, report: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.report = report or {}


class RepairStopped(StateError):
    """A repair that left something unchanged, because too much of it is missing at once. `report` has what it did."""

    def __init__(self, message: str, report: dict[str, Any]) -> None:
        super().__init__(message)
        self.report = report


class SourceUnavailable(RetrievalError):
    """A source does not answer, or is not in its former place."""


class ParserUnavailable(RetrievalError):
    """No file can be read now."""


class IndexUnavailable(RetrievalError):
    """The index cannot answer now."""


class IndexDamaged(IndexUnavailable):
    """A collection whose data on disk cannot be read."""
