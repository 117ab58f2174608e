"""How retrieval fails.

RetrievalError
├── InputError            the caller's input is wrong; trying again does not help
│   ├── UnreadableFile        corrupt, encrypted, empty, or without text
│   ├── UnsupportedFormat     no loader for this kind of file
│   └── EmbedderMismatch      the collection was made with another embedder or dimension
├── StateError            the thing is not in a state that allows this
│   ├── UnknownCollection     no such collection
│   ├── StaleRevision         the database no longer wants this revision of the file
│   ├── RecipeChanged         points made otherwise than the collection that they are for
│   ├── RecallTooLow          a new collection finds too little of what the live one finds
│   └── BuildFailed           a collection could not be built: no space, or more changes than it can follow
└── IndexUnavailable      the engine is down; try again later
    └── IndexDamaged          the collection's data cannot be read; reindex the store
"""

from __future__ import annotations


class RetrievalError(Exception):
    """Base of all errors of this library."""


class InputError(RetrievalError):
    """Wrong input."""


class UnreadableFile(InputError):
    """A file that a loader exists for, but whose text cannot be had."""


class UnsupportedFormat(InputError):
    """A kind of file that no loader reads."""


class EmbedderMismatch(InputError):
    """Vectors of one embedder offered to a collection of another."""


class StateError(RetrievalError):
    """Wrong state."""


class UnknownCollection(StateError):
    """A collection that does not exist, or no longer."""


class StaleRevision(StateError):
    """A late write for a file that has changed or gone since."""


class RecipeChanged(StateError):
    """Points that were made otherwise than the collection that they are for."""


class RecallTooLow(StateError):
    """A new collection that finds too little of what the live one finds."""


class BuildFailed(StateError):
    """A collection that could not be built."""


class IndexUnavailable(RetrievalError):
    """The index cannot answer now."""


class IndexDamaged(IndexUnavailable):
    """A collection whose data on disk cannot be read."""
