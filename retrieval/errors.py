"""How retrieval fails.

RetrievalError
├── InputError            the caller's input is wrong; trying again does not help
│   ├── UnreadableFile        corrupt, encrypted, empty, or without text
│   ├── UnsupportedFormat     no loader for this kind of file
│   ├── EmbedderMismatch      the collection was made with another embedder or dimension
│   └── UnsupportedEmbedder   a runtime cannot run this embedder
├── StateError            the thing is not in a state that allows this
│   ├── UnknownCollection     no such collection
│   └── StaleRevision         the database no longer wants this revision of the file
└── IndexUnavailable      the engine is down or damaged; try again later, or rebuild
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


class UnsupportedEmbedder(InputError):
    """An embedder that a runtime cannot run as the original does."""


class StateError(RetrievalError):
    """Wrong state."""


class UnknownCollection(StateError):
    """A collection that does not exist, or no longer."""


class StaleRevision(StateError):
    """A late write for a file that has changed or gone since."""


class IndexUnavailable(RetrievalError):
    """The index cannot answer now."""
