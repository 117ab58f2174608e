"""The open collections. Those not used lately are closed, since each open one holds threads and memory."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from threading import Condition, Lock

from retrieval.errors import IndexUnavailable
from retrieval.index.port import CollectionRef, IndexEngine, VectorIndex

LONGEST_USE_SECONDS = 60.0


@dataclass
class _Handle:
    index: VectorIndex
    users: int = 0


class OpenCollections:
    """Opens collections when they are needed. Beyond `max_open`, closes the one that has been unused for longest."""

    def __init__(self, engine: IndexEngine, dimension: int, max_open: int) -> None:
        self._engine = engine
        self._dimension = dimension
        self._max_open = max_open
        self._handles: OrderedDict[CollectionRef, _Handle] = OrderedDict()
        self._changed = Condition()
        self._writing: defaultdict[str, Lock] = defaultdict(Lock)

    def __len__(self) -> int:
        return len(self._handles)

    def writing(self, store_id: str) -> Lock:
        """Held while a store's index is written or its alias moves. Searches do not wait for it."""
        with self._changed:
            return self._writing[store_id]

    def use(self, ref: CollectionRef) -> AbstractContextManager[VectorIndex]:
        """The open collection, which stays open for the length of the context.

        Raises UnknownCollection if there is none.
        """
        return self._using(ref, self._engine.open)

    def use_or_create(self, ref: CollectionRef, dimension: int | None = None) -> AbstractContextManager[VectorIndex]:
        """As `use`; a missing collection is created with `dimension` numbers per vector (that of the embedder in the
        settings).
        """

        def find(ref: CollectionRef) -> VectorIndex:
            if self._engine.exists(ref):
                return self._engine.open(ref)
            return self._engine.create(ref, dimension or self._dimension)

        return self._using(ref, find)

    @contextmanager
    def _using(self, ref: CollectionRef, find: Callable[[CollectionRef], VectorIndex]) -> Iterator[VectorIndex]:
        with self._changed:
            handle = self._handles.get(ref)
            if handle is None:
                handle = self._handles[ref] = _Handle(find(ref))
            self._handles.move_to_end(ref)
            handle.users += 1
        try:
            yield handle.index
        finally:
            with self._changed:
                handle.users -= 1
                self._close_idle()
                self._changed.notify_all()

    def close(self, ref: CollectionRef) -> None:
        """Close a collection when nobody uses it any more. Raises IndexUnavailable if that takes over a minute."""
        with self._changed:
            handle = self._handles.get(ref)
            if handle is None:
                return
            if not self._changed.wait_for(lambda: handle.users == 0, LONGEST_USE_SECONDS):
                raise IndexUnavailable(f"collection {ref} is in use and could not be closed; try again")
            if self._handles.pop(ref, None) is handle:
                handle.index.close()

    def drop(self, ref: CollectionRef) -> None:
        """Close a collection and remove its data."""
        self.close(ref)
        self._engine.drop(ref)

    def close_all(self) -> None:
        for ref in list(self._handles):
            self.close(ref)
        self._engine.close()

    def _close_idle(self) -> None:
        idle = [ref for ref, handle in self._handles.items() if handle.users == 0]
        for ref in idle[: max(0, len(self._handles) - self._max_open)]:
            self._handles.pop(ref).index.close()
