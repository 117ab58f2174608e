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
        """Let the check end with the collection that it is at; wait a minute for that at most."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(LONGEST_USE_SECONDS)

    def check_all(self) -> None:
        """Read every live collection, and write down which ones are damaged: those answer with an error from then on.

        One that cannot be reached now, since the engine is down or another process has it, is left as it was.
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
