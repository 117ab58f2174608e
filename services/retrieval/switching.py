"""Moving a store to a new build of its index, without losing what was written while it was built."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import islice
from threading import Lock

from retrieval.errors import EmbedderMismatch, IndexUnavailable, RetrievalError
from retrieval.index.port import BATCH, CollectionRef, VectorIndex
from retrieval.model import Point
from services.contracts.retrieval import DropCollectionRequest, SwitchRequest, SwitchResponse
from services.retrieval.catalog import Catalog
from services.retrieval.collections import OpenCollections

log = logging.getLogger(__name__)
Revision = tuple[str, int]  # file id, revision


class Switching:
    def __init__(self, catalog: Catalog, collections: OpenCollections) -> None:
        self._catalog = catalog
        self._collections = collections
        self._one_at_a_time = Lock()

    def switch(self, request: SwitchRequest) -> SwitchResponse:
        """Check a finished build, bring it up to date from the live collection, and let it answer from now on.

        What was written to the live collection meanwhile is copied, what is not wanted any more is removed; the
        live collection is the log of those writes. Writes to the store wait for the last part; searches do not.
        Asked again for the collection that is live already, it changes nothing.
        Raises UnknownCollection where there is no such build, and IndexUnavailable where it is damaged or incomplete:
        then it is removed, and the live collection stays.
        """
        with self._one_at_a_time:
            ref = self._catalog.building(request.workspace_id, request.store_id, request.collection_id)
            live_id, previous_id, _ = self._catalog.collections(request.workspace_id, request.store_id)
            if live_id == ref.collection_id:
                return self._answer(ref, previous_id, replayed=0)
            try:
                replayed = self._check_and_catch_up(ref, request)
            except RetrievalError:
                self._give_up(ref)
                raise
            return self._answer(ref, live_id, replayed)

    def drop(self, request: DropCollectionRequest) -> None:
        """Give a build up and remove its data, once no switch or write is under way; a live collection stays.

        Raises IndexUnavailable where the engine does not remove it: then it stays known, to be dropped later.
        """
        with self._one_at_a_time, self._collections.writing(request.store_id):
            self._give_up(CollectionRef(request.workspace_id, request.store_id, request.collection_id))

    def _give_up(self, ref: CollectionRef) -> None:
        if self._catalog.unfinished(ref):
            self._collections.drop(ref)
            self._catalog.give_up(ref)

    def _check_and_catch_up(self, ref: CollectionRef, request: SwitchRequest) -> int:
        """Returns how many points were copied; from its end on, the new collection answers."""
        with self._collections.use(ref, create=request.expected_count == 0) as new:
            self._check(new, request)
            with self._collections.writing(request.store_id):
                replayed = self._catch_up(ref, new)
                new.flush()
                dropped = self._catalog.move(ref)
        for old in dropped:
            try:
                self._collections.drop(old)
            except IndexUnavailable as error:
                log.warning("the former collection %s stays on disk: %s", old, error)
        return replayed

    def _answer(self, ref: CollectionRef, previous_id: str | None, replayed: int) -> SwitchResponse:
        with self._collections.use(ref) as index:
            count = index.count()
        return SwitchResponse(collection_id=ref.collection_id, previous_id=previous_id, count=count, replayed=replayed)

    def _check(self, new: VectorIndex, request: SwitchRequest) -> None:
        sound, counted = new.verify(), new.count()
        if not sound == counted == request.expected_count:
            raise IndexUnavailable(
                f"collection {request.collection_id} has {counted} points, {sound} of them readable, where "
                f"{request.expected_count} were built; build it again"
            )

    def _catch_up(self, ref: CollectionRef, new: VectorIndex) -> int:
        """Copy wanted revisions that only the live collection has, and remove unwanted ones. Returns points copied."""
        wanted = self._wanted(ref)
        built = new.revisions()
        for file_id, revision in built.keys() - wanted:
            new.delete_revision(file_id, revision)
        for file_id, attributes in self._catalog.changed_attributes(ref).items():
            new.set_attributes(file_id, attributes)
        live = self._live(ref, wanted - built.keys())
        if live is None:
            return 0
        with self._collections.use(live) as old:
            missing = sorted((old.revisions().keys() & wanted) - built.keys())
            return sum(_copy(old.scroll(*one), new) for one in missing)

    def _wanted(self, ref: CollectionRef) -> set[Revision]:
        wanted = self._catalog.wanted_in(ref.workspace_id, ref.store_id)
        return {(file_id, revision) for (_, file_id), revision in wanted.items()}

    def _live(self, ref: CollectionRef, missing: set[Revision]) -> CollectionRef | None:
        """The live collection, if there is one to copy from."""
        try:
            live = self._catalog.live(ref.workspace_id, ref.store_id)
        except EmbedderMismatch:
            if not missing:
                return None
            raise
        return live if live != ref else None


def _copy(points: Iterator[Point], new: VectorIndex) -> int:
    copied = 0
    while batch := list(islice(points, BATCH)):
        new.upsert(batch)
        copied += len(batch)
    return copied
