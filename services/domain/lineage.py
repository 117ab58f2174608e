"""Which data sets and versions contain the text of a file or of an answer in the journal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from services.database.tables import DataSet, LivePointer, TextOrigin, Version

EXAMPLES, PASSAGES = "examples", "passages"


@dataclass(frozen=True)
class Holder:
    """A data set or a version, and how the text came into it."""

    thing: DataSet | Version
    how: tuple[str, ...]


@dataclass(frozen=True)
class Lineage:
    """`live_id` is the version that answers now."""

    data_sets: tuple[Holder, ...]
    versions: tuple[Holder, ...]
    live_id: str | None


def add_origins(session: Session, workspace_id: str, holder_id: str, origins: Iterable[str], how: str) -> None:
    """Record where a holder's text is from; what is already recorded stays."""
    known = set(session.scalars(select(TextOrigin.origin_id).where(*_of(workspace_id, holder_id, how))))
    for origin_id in sorted(set(origins) - known):
        session.add(TextOrigin(holder_id=holder_id, origin_id=origin_id, how=how, workspace_id=workspace_id))


def add_version_origins(
    session: Session, workspace_id: str, version_id: str, run: dict[str, Any], begun_with: str | None = None
) -> None:
    """Record what a version was trained on, as its run says: a data set's origins, and the files of the passages.

    A version that started from another one has that one's texts in it too.
    """
    for how in (EXAMPLES, PASSAGES) if begun_with else ():
        inherited = select(TextOrigin.origin_id).where(*_of(workspace_id, str(begun_with), how))
        add_origins(session, workspace_id, version_id, session.scalars(inherited).all(), how)
    data_set_id = run.get("dataset", {}).get("data_set_id", "")
    texts = select(TextOrigin.origin_id).where(*_of(workspace_id, data_set_id, EXAMPLES))
    add_origins(session, workspace_id, version_id, session.scalars(texts).all(), EXAMPLES)
    add_origins(session, workspace_id, version_id, run.get("passage_files", ()), PASSAGES)


def forget_origins(session: Session, holder_id: str) -> None:
    session.execute(delete(TextOrigin).where(TextOrigin.holder_id == holder_id))


def lineage(session: Session, workspace_id: str, origin_id: str) -> Lineage:
    """Which holders have the text of a file or an answer; data sets whose content is deleted are left out."""
    rows = select(TextOrigin).where(TextOrigin.workspace_id == workspace_id, TextOrigin.origin_id == origin_id)
    how: dict[str, list[str]] = {}
    for row in session.scalars(rows.order_by(TextOrigin.how)):
        how.setdefault(row.holder_id, []).append(row.how)
    sets = select(DataSet).where(DataSet.workspace_id == workspace_id, DataSet.id.in_(how))
    kept = session.scalars(sets.where(DataSet.deleted_at.is_(None)).order_by(DataSet.created_at))
    versions = select(Version).where(Version.workspace_id == workspace_id, Version.id.in_(how))
    made = session.scalars(versions.order_by(Version.created_at))
    live = session.get(LivePointer, workspace_id)
    return Lineage(
        tuple(Holder(one, tuple(how[one.id])) for one in kept),
        tuple(Holder(one, tuple(how[one.id])) for one in made),
        live.version_id if live else None,
    )


def _of(workspace_id: str, holder_id: str, how: str) -> tuple[Any, ...]:
    return TextOrigin.workspace_id == workspace_id, TextOrigin.holder_id == holder_id, TextOrigin.how == how
