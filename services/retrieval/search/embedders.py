"""The embedders for questions: the one in the settings, and those of collections that are not reindexed yet."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from retrieval.embedding.embedder import Embedder
from retrieval.errors import EmbedderMismatch
from services.retrieval.index.catalog import EmbedderName

log = logging.getLogger(__name__)
OpenEmbedder = Callable[[str], Embedder]


class Embedders:
    """A collection is searched with the embedder that made it, so a new setting changes nothing until the store is
    reindexed. At most `most_former` embedders besides the one in the settings stay loaded; 0 refuses such collections.
    """

    def __init__(self, current: Embedder, open_embedder: OpenEmbedder, most_former: int) -> None:
        self.current = current
        self._open, self._most_former = open_embedder, most_former
        self._former: OrderedDict[str, Embedder] = OrderedDict()
        self._failed: dict[str, str] = {}
        self._lock = Lock()

    def of(self, made: EmbedderName) -> Embedder:
        """The embedder that made a collection.

        Raises EmbedderMismatch if it is not the one in the settings, and cannot or must not be loaded in addition.
        """
        embedder = self.current if made.name == self.current.name else self._one_of_former(made)
        if embedder.dimension != made.dimension:
            raise self._mismatch(made, f"but {made.name} has {embedder.dimension} numbers now")
        return embedder

    def _one_of_former(self, made: EmbedderName) -> Embedder:
        with self._lock:
            if made.name not in self._former:
                self._load(made)
            self._former.move_to_end(made.name)
            while len(self._former) > self._most_former:
                self._former.popitem(last=False)
            return self._former[made.name]

    def _load(self, made: EmbedderName) -> None:
        """Load it once; a failure is remembered until the service restarts."""
        if self._most_former == 0:
            raise self._mismatch(made, f"but {self.current.name} is set")
        if made.name not in self._failed:
            try:
                self._former[made.name] = self._open(made.name)
                log.info("the embedder %s answers for stores that are not reindexed yet", made.name)
            except (OSError, ImportError, ValueError, RuntimeError) as error:
                self._failed[made.name] = str(error).partition("\n")[0]
        if made.name in self._failed:
            raise self._mismatch(made, f"which cannot be loaded any more ({self._failed[made.name]})")

    def _mismatch(self, made: EmbedderName, why: str) -> EmbedderMismatch:
        return EmbedderMismatch(
            f"the store's collection was made with the embedder {made.name} ({made.dimension} numbers), {why}; "
            f"{self.current.name} ({self.current.dimension} numbers) is set: reindex the store, or set embedding_model "
            f"back to {made.name}"
        )
