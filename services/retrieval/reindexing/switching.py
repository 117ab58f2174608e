"""Moves a store to another collection of its index, without losing what is written meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from threading import Lock

from retrieval.errors import IndexDamaged, IndexUnavailable, RecallTooLow, RetrievalError
from retrieval.index.port import BATCH, CollectionRef, VectorIndex
from retrieval.model import Point
from services.contracts.retrieval import DropCollectionRequest, FileRevision, SwitchRequest, SwitchResponse
from services.retrieval.index.catalog import Catalog, Revision
from services.retrieval.index.collections import OpenCollections
from services.retrieval.reindexing.recall import Recall, RecallCheck

log = logging.getLogger(__name__)


@dataclass
class CatchUp:
    """`missing` is what cannot be copied from the live collection, because it was made in another way or cannot be
    read.
    """

    copied: int = 0
    missing: list[Revision] = field(default_factory=list)


class Switching:
    def __init__(self, catalog: Catalog, collections: OpenCollections, recall: RecallCheck) -> None:
        self._catalog = catalog
        self._collections = collections
        self._recall = recall
        self._one_at_a_time = Lock()

    def switch(self, request: SwitchRequest) -> SwitchResponse:
        """Check a collection, bring it up to date, and let it answer from now on.

        What is no longer wanted is removed. What was written to the live collection meanwhile is copied if both were
        made in the same way; if not, nothing changes and the answer names what the caller must write first. Writes to
        the store wait for the last part; searches do not. If the collection is live already, the call changes nothing.
        Raises UnknownCollection if there is no such collection, IndexUnavailable if it is damaged or incomplete,
        RecallTooLow if it finds too little and `force` is not set: then a build is removed, and the live collection
        stays.
        """
        with self._one_at_a_time:
            ref = CollectionRef(request.workspace_id, request.store_id, request.collection_id)
            self._catalog.made_with(ref)
            live_id, previous_id, _ = self._catalog.collections(request.workspace_id, request.store_id)
            if live_id == ref.collection_id:
                return self._answer(ref, previous_id, CatchUp(), Recall(None, 0))
            try:
                return self._check_and_move(ref, live_id, request)
            except RetrievalError:
                self._give_up(ref)
                raise

    def drop(self, request: DropCollectionRequest) -> None:
        """Forget a build and remove its data, when no switch or write is under way; a live collection stays.

        Raises IndexUnavailable if the engine does not remove it: then it stays known, to be dropped later.
        """
        with self._one_at_a_time, self._collections.writing(request.store_id):
            self._give_up(CollectionRef(request.workspace_id, request.store_id, request.collection_id))

    def _give_up(self, ref: CollectionRef) -> None:
        if self._catalog.unfinished(ref):
            self._collections.drop(ref)
            self._catalog.give_up(ref)

    def _check_and_move(self, ref: CollectionRef, live_id: str | None, request: SwitchRequest) -> SwitchResponse:
        dimension = self._catalog.made_with(ref).embedder.dimension
        is_empty = request.expected_count == 0  # nothing was written to it, so it may not be there
        with self._collections.use_or_create(ref, dimension) if is_empty else self._collections.use(ref) as new:
            if request.expected_count is not None:
                self._check(ref, new, request.expected_count)
            first = self._catch_up(ref, new)
            if first.missing:
                return self._answer(ref, live_id, first, Recall(None, 0))
            recall = self._check_recall(ref, request)
            with self._collections.writing(request.store_id):
                last = self._catch_up(ref, new)
                both = CatchUp(first.copied + last.copied, last.missing)
                if both.missing:
                    return self._answer(ref, live_id, both, recall)
                new.flush()
                dropped = self._catalog.move(ref)
        for old in dropped:
            try:
                self._collections.drop(old)
            except IndexUnavailable as error:
                log.warning("the former collection %s stays until the store is reconciled: %s", old, error)
        return self._answer(ref, live_id, both, recall)

    def _answer(self, ref: CollectionRef, previous_id: str | None, done: CatchUp, recall: Recall) -> SwitchResponse:
        with self._collections.use(ref) as index:
            count = index.count()
        return SwitchResponse(
            collection_id=ref.collection_id,
            previous_id=previous_id,
            count=count,
            replayed=done.copied,
            missing=[FileRevision(file_id=file_id, revision=revision) for file_id, revision in done.missing],
            recall=recall.share,
            questions=recall.questions,
        )

    def _check(self, ref: CollectionRef, new: VectorIndex, expected: int) -> None:
        """A build with all its expected points has each of its files completely."""
        sound, counted = new.verify(), new.count()
        if not sound == counted == expected:
            raise IndexUnavailable(
                f"collection {ref.collection_id} has {counted} points, {sound} of them readable, where {expected} "
                "were built; build it again"
            )
        self._catalog.note_whole(ref, new.revisions())

    def _check_recall(self, ref: CollectionRef, request: SwitchRequest) -> Recall:
        if request.min_recall is None:
            return Recall(None, 0)
        recall = self._recall.compare(self._live(ref), ref)
        if recall.share is not None and recall.share < request.min_recall and not request.force:
            raise RecallTooLow(
                f"the new collection of store {ref.store_id} finds {recall.share:.2f} of the documents that the live "
                f"one finds first for {recall.questions} stored questions, and {request.min_recall:.2f} is asked for; "
                "the live one stays. Look at what changed, or reindex with force"
            )
        return recall

    def _catch_up(self, ref: CollectionRef, new: VectorIndex) -> CatchUp:
        """Remove what is no longer wanted, correct attributes that changed after the collection was begun, and copy
        what only the live collection has, if both were made in the same way.

        If a file's wanted revision is not indexed yet, the former one that answers is kept, or copied.
        """
        wanted = self._catalog.wanted_in(ref.workspace_id, ref.store_id)
        for file_id, revision in new.revisions():
            if revision not in wanted.get(file_id, ()):
                new.delete_revision(file_id, revision)
        for file_id, attributes in self._catalog.changed_attributes(ref).items():
            new.set_attributes(file_id, attributes)
        lacking = _lacking(wanted, held_whole(self._catalog, ref, new))
        live = self._live(ref)
        in_live: set[Revision] = set()
        caught_up = CatchUp()
        if lacking and live is not None:
            alike = self._catalog.made_with(live) == self._catalog.made_with(ref)
            with self._collections.use(live) as old:
                in_live = held_whole(self._catalog, live, old) & lacking
                if alike:
                    copied = {one: _copy(old.scroll(*one), new) for one in sorted(in_live)}
                    self._catalog.note_whole(ref, copied)
                    caught_up.copied, lacking, in_live = sum(copied.values()), lacking - in_live, set()
        indexed = self._catalog.indexed(ref.workspace_id, ref.store_id)
        caught_up.missing = sorted(lacking & (indexed | in_live))
        return caught_up

    def _live(self, ref: CollectionRef) -> CollectionRef | None:
        """The live collection, if there is one and it can be read."""
        try:
            live = self._catalog.live(ref.workspace_id, ref.store_id)
        except IndexDamaged:
            return None
        return live if live != ref else None


def _lacking(wanted: Mapping[str, tuple[int, int | None]], held: set[Revision]) -> set[Revision]:
    """For each file, the revision that must answer but is missing: its former one, if it has one, else the
    wanted one."""
    return {
        (file_id, revision if former is None else former)
        for file_id, (revision, former) in wanted.items()
        if not {(file_id, revision), (file_id, former)} & held
    }


def held_whole(catalog: Catalog, ref: CollectionRef, index: VectorIndex) -> set[Revision]:
    """The revisions of which a collection has every chunk.

    For a build this is recorded for each file. In a collection that answers or did answer, a file without a record
    counts as complete: it is from a time when there were no records.
    """
    counts, whole = index.revisions(), catalog.whole(ref)
    held = {one for one, count in whole.items() if counts.get(one, 0) == count}
    if catalog.unfinished(ref):
        return held
    known = {file_id for file_id, _ in whole}
    return held | {one for one in counts if one[0] not in known}


def _copy(points: Iterator[Point], new: VectorIndex) -> int:
    copied = 0
    while batch := list(islice(points, BATCH)):
        new.upsert(batch)
        copied += len(batch)
    return copied
