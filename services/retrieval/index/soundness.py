"""Finds damaged collections by reading their vectors: a cut file still loads, and has the right count."""

from __future__ import annotations

import logging
import time
from threading import Event, Thread

from retrieval.errors import IndexDamaged, IndexUnavailable, UnknownCollection
from retrieval.index.port import CollectionRef
from services.retrieval.index.catalog import Catalog
from services.retrieval.index.collections import LONGEST_USE_SECONDS, OpenCollections

log = logging.getLogger(__name__)


class Soundness:
    def __init__(self, catalog: Catalog, collections: OpenCollections) -> None:
        self._catalog, self._collections = catalog, collections
        self._thread = Thread(target=self.check_all, name="soundness", daemon=True)
        self._stopping = Event()

    def start(self) -> None:
        """Check every live collection in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Let the check end after its present collection; wait at most a minute for that."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(LONGEST_USE_SECONDS)

    def check_all(self) -> None:
        """Read every live collection and record which ones are damaged: from then on these answer with an error.

        If a collection cannot be reached now, because the engine is down or another process has it, its record stays
        unchanged.
        """
        for ref in self._catalog.all_live():
            if self._stopping.is_set():
                return
            started = time.monotonic()
            try:
                problem = self._problem(ref)
            except IndexUnavailable as error:
                log.warning("collection %s could not be checked: %s", ref, error)
                continue
            self._catalog.note_problem(ref, problem)
            if problem:
                log.error("collection %s is damaged: %s", ref, problem)
            log.info("collection %s was read in %.1f s", ref, time.monotonic() - started)

    def _problem(self, ref: CollectionRef) -> str | None:
        try:
            with self._collections.use(ref) as index:
                index.verify()
        except IndexDamaged as error:
            return str(error)
        except UnknownCollection:
            return "its data is gone"
        return None
