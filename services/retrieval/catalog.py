"""What the database says about stores: which collection answers, and which revision of each file is wanted."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from retrieval.errors import EmbedderMismatch, UnknownCollection
from retrieval.index.port import CollectionRef
from retrieval.model import Attributes
from services.database.engine import Sessions
from services.database.tables import Collection, File, Store, StoreFile, not_expired

FileKey = tuple[str, str]  # store id, file id
ASKED_AT_ONCE = 500  # SQLite allows 999 values a statement by default in old builds


@dataclass(frozen=True)
class EmbedderName:
    """What makes vectors comparable."""

    name: str
    dimension: int


class Catalog:
    """Short transactions on stores and collections. Every read and write is bound to a workspace."""

    def __init__(self, sessions: Sessions, embedder: EmbedderName) -> None:
        self._sessions = sessions
        self._embedder = embedder

    def ping(self) -> None:
        with self._sessions() as session:
            session.execute(select(1))

    def live(self, workspace_id: str, store_id: str) -> CollectionRef | None:
        """The collection that answers for a store; None where nothing was indexed yet.

        Raises UnknownCollection for a store that the workspace does not have, EmbedderMismatch where the collection
        was made with another embedder.
        """
        with self._sessions() as session:
            store = _store(session, workspace_id, store_id)
            if store.collection_id is None:
                return None
            self._check_embedder(_collection(session, workspace_id, store_id, store.collection_id))
            return CollectionRef(workspace_id, store_id, store.collection_id)

    def building(self, workspace_id: str, store_id: str, collection_id: str) -> CollectionRef:
        """A collection that was begun beside the live one, and may have become it.

        Raises UnknownCollection where the store has none of that id, EmbedderMismatch as `live`.
        """
        with self._sessions() as session:
            _store(session, workspace_id, store_id)
            self._check_embedder(_collection(session, workspace_id, store_id, collection_id))
        return CollectionRef(workspace_id, store_id, collection_id)

    def add_live(self, ref: CollectionRef) -> None:
        """Make a new collection the one that answers for a store which has none."""
        with self._sessions.begin() as session:
            store = _store(session, ref.workspace_id, ref.store_id)
            session.add(self._row(ref))
            store.collection_id = ref.collection_id

    def unfinished(self, ref: CollectionRef) -> bool:
        """Whether a collection is being built; not one that is live, or was, or is unknown."""
        with self._sessions() as session:
            return session.scalar(select(Collection.id).where(*_unfinished(ref))) is not None

    def give_up(self, ref: CollectionRef) -> None:
        """Forget a build. Nothing changes where the collection is live, or was."""
        with self._sessions.begin() as session:
            session.execute(delete(Collection).where(*_unfinished(ref)))

    def move(self, ref: CollectionRef) -> list[CollectionRef]:
        """Let another collection answer for its store, in one transaction.

        The one that answered before is kept; returns those that may be dropped now.
        """
        with self._sessions.begin() as session:
            store = _store(session, ref.workspace_id, ref.store_id)
            previous = store.collection_id
            store.collection_id, store.previous_collection_id = ref.collection_id, previous
            kept = {previous: "retired", ref.collection_id: "live"}
            rows = session.scalars(select(Collection).where(Collection.store_id == ref.store_id)).all()
            dropped = [row for row in rows if row.id not in kept and row.state != "building"]
            for row in rows:
                row.state = kept.get(row.id, row.state)
            for row in dropped:
                session.delete(row)
            return [CollectionRef(row.workspace_id, row.store_id, row.id) for row in dropped]

    def collections(self, workspace_id: str, store_id: str) -> tuple[str | None, str | None, list[Collection]]:
        """The store's live and previous collection ids, and all its collections, oldest first."""
        with self._sessions() as session:
            store = _store(session, workspace_id, store_id)
            rows = select(Collection).where(Collection.store_id == store_id).order_by(Collection.created_at)
            return store.collection_id, store.previous_collection_id, list(session.scalars(rows))

    def forget(self, workspace_id: str, store_id: str) -> list[CollectionRef]:
        """Take every collection from a store, deleted or not, and name them."""
        with self._sessions.begin() as session:
            store = session.get(Store, store_id)
            if store is None or store.workspace_id != workspace_id:
                return []
            store.collection_id = store.previous_collection_id = None
            rows = session.scalars(select(Collection).where(Collection.store_id == store_id)).all()
            for row in rows:
                session.delete(row)
            return [CollectionRef(workspace_id, store_id, row.id) for row in rows]

    def holding(self, workspace_id: str, store_id: str) -> list[CollectionRef]:
        """The collections of a store, deleted or not, that a removal has to reach: the live one and the previous."""
        with self._sessions() as session:
            store = session.get(Store, store_id)
            if store is None or store.workspace_id != workspace_id:
                return []
            ids = (store.collection_id, store.previous_collection_id)
            return [CollectionRef(workspace_id, store_id, one) for one in ids if one]

    def wanted(self, workspace_id: str, files: Iterable[FileKey]) -> Mapping[FileKey, int]:
        """The wanted revision of each of these files; a deleted or unknown file has none."""
        file_ids = sorted({file_id for _, file_id in files})
        revisions: dict[FileKey, int] = {}
        with self._sessions() as session:
            for start in range(0, len(file_ids), ASKED_AT_ONCE):
                some = file_ids[start : start + ASKED_AT_ONCE]
                revisions |= _wanted(session, workspace_id, StoreFile.file_id.in_(some))
        return revisions

    def wanted_in(self, workspace_id: str, store_id: str) -> Mapping[FileKey, int]:
        """The wanted revision of every file in a store."""
        with self._sessions() as session:
            return _wanted(session, workspace_id, StoreFile.store_id == store_id)

    def attributes(self, workspace_id: str, store_id: str, file_id: str) -> Attributes | None:
        """What the database has for a file of a store now; None where the store does not hold the file."""
        with self._sessions() as session:
            row = session.get(StoreFile, (store_id, file_id))
        return row.attributes if row and row.workspace_id == workspace_id and not row.deleted else None

    def changed_attributes(self, ref: CollectionRef) -> Mapping[str, Attributes]:
        """The attributes of the files that were given new ones since a collection was begun, by file."""
        with self._sessions() as session:
            begun = _collection(session, ref.workspace_id, ref.store_id, ref.collection_id).created_at
            rows = select(StoreFile).where(StoreFile.store_id == ref.store_id, StoreFile.attributes_changed_at >= begun)
            return {row.file_id: row.attributes for row in session.scalars(rows)}

    def _row(self, ref: CollectionRef) -> Collection:
        return Collection(
            id=ref.collection_id,
            workspace_id=ref.workspace_id,
            store_id=ref.store_id,
            embedder=self._embedder.name,
            dimension=self._embedder.dimension,
            settings={},
            state="live",
        )

    def _check_embedder(self, row: Collection) -> None:
        made = EmbedderName(row.embedder, row.dimension)
        if made != self._embedder:
            raise EmbedderMismatch(
                f"collection {row.id} was made with the embedder {made.name} ({made.dimension} numbers), but "
                f"{self._embedder.name} ({self._embedder.dimension} numbers) is set; reindex the store, or set "
                f"embedding_model back to {made.name}"
            )


def new_collection(workspace_id: str, store_id: str) -> CollectionRef:
    return CollectionRef(workspace_id, store_id, f"col_{uuid.uuid4().hex}")


def _unfinished(ref: CollectionRef) -> tuple[ColumnElement[bool], ...]:
    return (
        Collection.id == ref.collection_id,
        Collection.workspace_id == ref.workspace_id,
        Collection.store_id == ref.store_id,
        Collection.state == "building",
    )


def _store(session: Session, workspace_id: str, store_id: str) -> Store:
    store = session.get(Store, store_id)
    if store is None or store.workspace_id != workspace_id or store.deleted_at is not None:
        raise UnknownCollection(f"there is no store {store_id} in this workspace")
    return store


def _collection(session: Session, workspace_id: str, store_id: str, collection_id: str) -> Collection:
    row = session.get(Collection, collection_id)
    if row is None or (row.workspace_id, row.store_id) != (workspace_id, store_id):
        raise UnknownCollection(f"store {store_id} has no collection {collection_id}")
    return row


def _wanted(session: Session, workspace_id: str, which: object) -> dict[FileKey, int]:
    rows = session.execute(
        select(StoreFile.store_id, StoreFile.file_id, StoreFile.revision)
        .join(File, File.id == StoreFile.file_id)
        .join(Store, Store.id == StoreFile.store_id)
        .where(StoreFile.workspace_id == workspace_id, which, StoreFile.deleted.is_(False))  # type: ignore[arg-type]
        .where(File.deleted_at.is_(None), not_expired(File.expires_at), Store.deleted_at.is_(None))
    )
    return {(store_id, file_id): revision for store_id, file_id, revision in rows}
