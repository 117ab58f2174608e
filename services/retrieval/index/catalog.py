"""What the database says about stores: which collection answers, and which revision of each file is wanted."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, delete, func, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from retrieval.errors import IndexDamaged, UnknownCollection
from retrieval.index.port import CollectionRef
from retrieval.model import Attributes
from services.database.engine import Sessions
from services.database.tables import Collection, CollectionFile, File, Store, StoreFile, now

FileKey = tuple[str, str]  # store id, file id
Revision = tuple[str, int]  # file id, revision
ASKED_AT_ONCE = 500  # SQLite allows 999 values a statement by default in old builds


@dataclass(frozen=True)
class EmbedderName:
    """Vectors can be compared if this is equal."""

    name: str
    dimension: int


@dataclass(frozen=True)
class MadeWith:
    """How a collection's points were made; `settings` is empty if they were not recorded."""

    embedder: EmbedderName
    settings: Mapping[str, Any] = field(default_factory=dict)


class Catalog:
    """Short transactions on stores and collections. Every read and write is bound to a workspace."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def ping(self) -> None:
        with self._sessions() as session:
            session.execute(select(1))

    def answering(self, workspace_id: str, store_id: str) -> tuple[CollectionRef, MadeWith] | None:
        """The collection that answers for a store, and how it was made; None if nothing was indexed yet.

        Raises UnknownCollection for a store that the workspace does not have, IndexDamaged if the collection's data
        cannot be read.
        """
        asked = {"workspace_id": workspace_id, "store_id": store_id}
        with self._sessions() as session:
            row = session.execute(_ANSWERING, asked).one_or_none()
        if row is None:
            raise _unknown_store(store_id)
        if row.collection_id is None:
            return None
        if row.embedder is None:
            raise _unknown_collection(store_id, row.collection_id)
        _check_readable(store_id, row.problem)
        made = MadeWith(EmbedderName(row.embedder, row.dimension), row.settings)
        return CollectionRef(workspace_id, store_id, row.collection_id), made

    def live(self, workspace_id: str, store_id: str) -> CollectionRef | None:
        """As `answering`, but only the collection."""
        found = self.answering(workspace_id, store_id)
        return found[0] if found else None

    def made_with(self, ref: CollectionRef) -> MadeWith:
        """How a collection of a store was made. Raises as `answering`."""
        with self._sessions() as session:
            _store(session, ref.workspace_id, ref.store_id)
            row = _collection(session, ref.workspace_id, ref.store_id, ref.collection_id)
            _check_readable(row.store_id, row.problem)
            return _made_with(row)

    def add_live(self, ref: CollectionRef, made: MadeWith) -> None:
        """Make a new collection the one that answers for a store that has none."""
        with self._sessions.begin() as session:
            store = _store(session, ref.workspace_id, ref.store_id)
            session.add(_row(ref, made))
            store.collection_id = ref.collection_id

    def unfinished(self, ref: CollectionRef) -> bool:
        """Whether a collection is being built; false for one that is live, was live, or is unknown."""
        with self._sessions() as session:
            return session.scalar(select(Collection.id).where(*_of(ref), Collection.state == "building")) is not None

    def beside(self, ref: CollectionRef) -> bool:
        """Whether a collection does not answer now but could: one that is being built, or the previous one."""
        states = Collection.state.in_(("building", "retired"))
        with self._sessions() as session:
            return session.scalar(select(Collection.id).where(*_of(ref), states)) is not None

    def give_up(self, ref: CollectionRef) -> None:
        """Forget a build. Nothing changes if the collection is live, or was."""
        with self._sessions.begin() as session:
            row = session.scalar(select(Collection).where(*_of(ref), Collection.state == "building"))
            if row is not None:
                _remove(session, row)

    def move(self, ref: CollectionRef) -> list[CollectionRef]:
        """Let another collection answer for its store, in one transaction; files get the chunk counts of that
        collection.

        The former one is kept, unless it cannot be read. Returns the collections that may now be dropped.
        """
        with self._sessions.begin() as session:
            store = _store(session, ref.workspace_id, ref.store_id)
            former = session.get(Collection, store.collection_id) if store.collection_id else None
            previous = former.id if former and former.problem is None else None
            store.collection_id, store.previous_collection_id = ref.collection_id, previous
            kept = {previous: "retired", ref.collection_id: "live"}
            rows = session.scalars(select(Collection).where(Collection.store_id == ref.store_id)).all()
            dropped = [row for row in rows if row.id not in kept and row.state != "building"]
            for row in rows:
                row.state = kept.get(row.id, row.state)
            for row in dropped:
                _remove(session, row)
            _take_counts(session, ref)
            return [CollectionRef(row.workspace_id, row.store_id, row.id) for row in dropped]

    def collections(self, workspace_id: str, store_id: str) -> tuple[str | None, str | None, list[Collection]]:
        """The store's live and previous collection ids, and all its collections, oldest first."""
        with self._sessions() as session:
            store = _store(session, workspace_id, store_id)
            rows = select(Collection).where(Collection.store_id == store_id).order_by(Collection.created_at)
            return store.collection_id, store.previous_collection_id, list(session.scalars(rows))

    def all_live(self) -> list[CollectionRef]:
        """The collections that answer, of every workspace."""
        query = select(Collection).join(Store, Store.collection_id == Collection.id).where(Store.deleted_at.is_(None))
        with self._sessions() as session:
            return [CollectionRef(row.workspace_id, row.store_id, row.id) for row in session.scalars(query)]

    def note_problem(self, ref: CollectionRef, problem: str | None) -> None:
        """Record why a collection cannot be read, or that it can."""
        with self._sessions.begin() as session:
            session.execute(update(Collection).where(*_of(ref)).values(problem=problem))

    def problems(self, embedder: str) -> tuple[int, int]:
        """How many stores have a damaged collection, and how many one of another embedder."""
        live = (
            select(func.count())
            .select_from(Collection)
            .join(Store, Store.collection_id == Collection.id)
            .where(Store.deleted_at.is_(None))
        )
        with self._sessions() as session:
            damaged = session.scalar(live.where(Collection.problem.is_not(None)))
            other = session.scalar(live.where(Collection.embedder != embedder))
        return damaged or 0, other or 0

    def forget(self, workspace_id: str, store_id: str) -> list[CollectionRef]:
        """Take every collection from a store, deleted or not, and return their ids."""
        with self._sessions.begin() as session:
            store = session.get(Store, store_id)
            if store is None or store.workspace_id != workspace_id:
                return []
            store.collection_id = store.previous_collection_id = None
            rows = session.scalars(select(Collection).where(Collection.store_id == store_id)).all()
            for row in rows:
                _remove(session, row)
            return [CollectionRef(workspace_id, store_id, row.id) for row in rows]

    def known(self, workspace_id: str, store_id: str) -> set[str]:
        """The ids of a store's collections; a deleted or unknown store has none."""
        query = select(Collection.id).join(Store, Store.id == Collection.store_id)
        mine = Collection.workspace_id == workspace_id, Collection.store_id == store_id, Store.deleted_at.is_(None)
        with self._sessions() as session:
            return set(session.scalars(query.where(*mine)))

    def holding(self, workspace_id: str, store_id: str) -> list[CollectionRef]:
        """The collections of a store, deleted or not, that a removal must reach: the live one and the previous one."""
        with self._sessions() as session:
            store = session.get(Store, store_id)
            if store is None or store.workspace_id != workspace_id:
                return []
            ids = (store.collection_id, store.previous_collection_id)
            return [CollectionRef(workspace_id, store_id, one) for one in ids if one]

    def whole(self, ref: CollectionRef) -> dict[Revision, int]:
        """The revisions that a collection received completely, and their numbers of chunks."""
        query = select(CollectionFile.file_id, CollectionFile.revision, CollectionFile.chunk_count)
        mine = CollectionFile.collection_id == ref.collection_id, CollectionFile.workspace_id == ref.workspace_id
        with self._sessions() as session:
            return {(file_id, revision): count for file_id, revision, count in session.execute(query.where(*mine))}

    def note_whole(self, ref: CollectionRef, held: Mapping[Revision, int]) -> None:
        """Record that a collection has these revisions completely."""
        with self._sessions.begin() as session:
            for (file_id, revision), count in held.items():
                row = CollectionFile(collection_id=ref.collection_id, file_id=file_id, revision=revision)
                row.workspace_id, row.chunk_count = ref.workspace_id, count
                session.merge(row)

    def note_partial(self, ref: CollectionRef, file_id: str, revision: int | None = None) -> None:
        """Record that a collection no longer has a file, or one revision of it, completely."""
        gone = delete(CollectionFile).where(CollectionFile.collection_id == ref.collection_id)
        gone = gone.where(CollectionFile.file_id == file_id)
        with self._sessions.begin() as session:
            session.execute(gone if revision is None else gone.where(CollectionFile.revision == revision))

    def indexed(self, workspace_id: str, store_id: str) -> set[Revision]:
        """The wanted revisions that were at some time completely in the index."""
        with self._sessions() as session:
            done = _wanted(session, _INDEXED_IN_STORE, workspace_id, store_id=store_id)
            return {(file_id, revision) for (_, file_id), revision in done.items()}

    def wanted(self, workspace_id: str, files: Iterable[FileKey]) -> Mapping[FileKey, int]:
        """The wanted revision of each of these files; a deleted or unknown file has none."""
        return self._revisions(_WANTED_OF_FILES, workspace_id, files)

    def _revisions(
        self, statement: Select[str, str, int], workspace_id: str, files: Iterable[FileKey]
    ) -> Mapping[FileKey, int]:
        file_ids = sorted({file_id for _, file_id in files})
        revisions: dict[FileKey, int] = {}
        with self._sessions() as session:
            for start in range(0, len(file_ids), ASKED_AT_ONCE):
                some = file_ids[start : start + ASKED_AT_ONCE]
                revisions |= _wanted(session, statement, workspace_id, file_ids=some)
        return revisions

    def shown(self, workspace_id: str, files: Iterable[FileKey]) -> Mapping[FileKey, int]:
        """The revision of each of these files that answers: the former one until the index has the wanted one
        completely.

        A deleted or unknown file has none.
        """
        return self._revisions(_SHOWN_OF_FILES, workspace_id, files)

    def wanted_in(self, workspace_id: str, store_id: str) -> Mapping[str, tuple[int, int | None]]:
        """The wanted revision of every file in a store, and the former one that answers until then, if there is one."""
        with self._sessions() as session:
            wanted = _wanted(session, _WANTED_IN_STORE, workspace_id, store_id=store_id)
            shown = _wanted(session, _SHOWN_IN_STORE, workspace_id, store_id=store_id)
        return {key[1]: (one, None if shown[key] == one else shown[key]) for key, one in wanted.items() if key in shown}

    def show(self, workspace_id: str, store_id: str, file_id: str, revision: int) -> None:
        """Let a wanted revision, which is completely in the index, answer from now on."""
        row = StoreFile.store_id == store_id, StoreFile.file_id == file_id, StoreFile.workspace_id == workspace_id
        shown = update(StoreFile).where(*row, StoreFile.revision == revision, StoreFile.former_revision.is_not(None))
        with self._sessions.begin() as session:
            session.execute(shown.values(former_revision=None))

    def attributes(self, workspace_id: str, store_id: str, file_id: str) -> Attributes | None:
        """A file's attributes in the database now, for one store; None if the store does not hold the file."""
        with self._sessions() as session:
            row = session.get(StoreFile, (store_id, file_id))
        return row.attributes if row and row.workspace_id == workspace_id and not row.deleted else None

    def changed_attributes(self, ref: CollectionRef) -> Mapping[str, Attributes]:
        """The attributes of the files whose attributes changed after a collection was begun, by file."""
        with self._sessions() as session:
            begun = _collection(session, ref.workspace_id, ref.store_id, ref.collection_id).created_at
            rows = select(StoreFile).where(StoreFile.store_id == ref.store_id, StoreFile.attributes_changed_at >= begun)
            return {row.file_id: row.attributes for row in session.scalars(rows)}


def new_collection(workspace_id: str, store_id: str) -> CollectionRef:
    return CollectionRef(workspace_id, store_id, f"col_{uuid.uuid4().hex}")


def _row(ref: CollectionRef, made: MadeWith) -> Collection:
    return Collection(
        id=ref.collection_id,
        workspace_id=ref.workspace_id,
        store_id=ref.store_id,
        embedder=made.embedder.name,
        dimension=made.embedder.dimension,
        settings=dict(made.settings),
        state="live",
    )


def _made_with(row: Collection) -> MadeWith:
    return MadeWith(EmbedderName(row.embedder, row.dimension), row.settings)


def _check_readable(store_id: str, problem: str | None) -> None:
    if problem is not None:
        raise IndexDamaged(
            f"the index of store {store_id} is damaged ({problem}); rebuild it from the files with "
            f"`tandem reindex --store {store_id}`"
        )


def _unknown_store(store_id: str) -> UnknownCollection:
    return UnknownCollection(f"there is no store {store_id} in this workspace")


def _unknown_collection(store_id: str, collection_id: str) -> UnknownCollection:
    return UnknownCollection(f"store {store_id} has no collection {collection_id}")


def _of(ref: CollectionRef) -> tuple[ColumnElement[bool], ...]:
    return (
        Collection.id == ref.collection_id,
        Collection.workspace_id == ref.workspace_id,
        Collection.store_id == ref.store_id,
    )


def _remove(session: Session, row: Collection) -> None:
    session.execute(delete(CollectionFile).where(CollectionFile.collection_id == row.id))
    session.delete(row)


def _take_counts(session: Session, ref: CollectionRef) -> None:
    held = select(CollectionFile).where(CollectionFile.collection_id == ref.collection_id)
    counts = {(row.file_id, row.revision): row.chunk_count for row in session.scalars(held)}
    for row in session.scalars(select(StoreFile).where(StoreFile.store_id == ref.store_id)):
        row.chunk_count = counts.get((row.file_id, row.revision), row.chunk_count)


def _store(session: Session, workspace_id: str, store_id: str) -> Store:
    store = session.get(Store, store_id)
    if store is None or store.workspace_id != workspace_id or store.deleted_at is not None:
        raise _unknown_store(store_id)
    return store


def _collection(session: Session, workspace_id: str, store_id: str, collection_id: str) -> Collection:
    row = session.get(Collection, collection_id)
    if row is None or (row.workspace_id, row.store_id) != (workspace_id, store_id):
        raise _unknown_collection(store_id, collection_id)
    return row


def _wanted(session: Session, statement: Select[str, str, int], workspace_id: str, **asked: Any) -> dict[FileKey, int]:
    rows = session.execute(statement, {"workspace_id": workspace_id, "now": now(), **asked})
    return {(store_id, file_id): revision for store_id, file_id, revision in rows}


def _wanted_where(
    which: ColumnElement[bool], revision: ColumnElement[int] | InstrumentedAttribute[int] = StoreFile.revision
) -> Select[str, str, int]:
    return (
        select(StoreFile.store_id, StoreFile.file_id, revision)
        .join(File, File.id == StoreFile.file_id)
        .join(Store, Store.id == StoreFile.store_id)
        .where(StoreFile.workspace_id == bindparam("workspace_id"), which, StoreFile.deleted.is_(False))
        .where(File.deleted_at.is_(None), or_(File.expires_at.is_(None), File.expires_at > bindparam("now")))
        .where(Store.deleted_at.is_(None))
    )


# every search asks these two; building them anew for each question took 2 ms of its 14
_ANSWERING = (
    select(Store.collection_id, Collection.embedder, Collection.dimension, Collection.settings, Collection.problem)
    .outerjoin(Collection, (Collection.id == Store.collection_id) & (Collection.store_id == Store.id))
    .where(Store.id == bindparam("store_id"), Store.workspace_id == bindparam("workspace_id"))
    .where(Store.deleted_at.is_(None))
)
_OF_FILES = StoreFile.file_id.in_(bindparam("file_ids", expanding=True))
_IN_STORE = StoreFile.store_id == bindparam("store_id")
_ANSWERS = func.coalesce(StoreFile.former_revision, StoreFile.revision)
_WANTED_OF_FILES, _SHOWN_OF_FILES = _wanted_where(_OF_FILES), _wanted_where(_OF_FILES, _ANSWERS)
_WANTED_IN_STORE, _SHOWN_IN_STORE = _wanted_where(_IN_STORE), _wanted_where(_IN_STORE, _ANSWERS)
_INDEXED_IN_STORE = _WANTED_IN_STORE.where(StoreFile.status == "completed")
