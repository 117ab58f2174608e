"""Conditions on points, independent of the engine: an adapter has only four shapes to translate."""

from __future__ import annotations

from dataclasses import dataclass

from retrieval.filters import LISTED, Compound, Filter, Operator
from retrieval.index.facts import FACTS, fact, has_number, number_field
from retrieval.index.port import Scope
from retrieval.index.records import revision_key


@dataclass(frozen=True)
class Is:
    """A keyword field holds this value."""

    field: str
    value: str


@dataclass(frozen=True)
class OneOf:
    """A keyword field holds one of these values."""

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Compared:
    """A number field lies on this side of a number: `gt`, `gte`, `lt` or `lte`."""

    field: str
    operator: Operator
    number: float


@dataclass(frozen=True)
class Group:
    """All of `must` hold, none of `must_not`, and one of `should` where there is any."""

    must: tuple[Condition, ...] = ()
    should: tuple[Condition, ...] = ()
    must_not: tuple[Condition, ...] = ()


Condition = Is | OneOf | Compared | Group


def of_scope(scope: Scope) -> Group:
    must: list[Condition] = [Is("workspace_id", scope.workspace_id)]
    if scope.file_ids is not None:
        must.append(OneOf("file_id", tuple(sorted(scope.file_ids))))
    if scope.attributes is not None:
        must.append(_of_attributes(scope.attributes))
    return Group(must=tuple(must))


def of_file(file_id: str) -> Group:
    """Every revision of a file."""
    return Group(must=(Is("file_id", file_id),))


def of_revision(file_id: str, revision: int) -> Group:
    return Group(must=(Is("file_revision", revision_key(file_id, revision)),))


def of_other_revisions(file_id: str, revision: int) -> Group:
    """Every revision of a file but this one."""
    return Group(must=(Is("file_id", file_id),), must_not=(Is("file_revision", revision_key(file_id, revision)),))


def of_points(file_id: str | None, revision: int | None) -> Group | None:
    """The points of one revision of a file, or of the whole file without a revision; None, which means all, without a
    file.
    """
    if file_id is None:
        return None
    return of_file(file_id) if revision is None else of_revision(file_id, revision)


def _of_attributes(wanted: Filter) -> Group:
    if isinstance(wanted, Compound):
        parts = tuple(_of_attributes(one) for one in wanted.filters)
        return Group(must=parts) if wanted.operator == "and" else Group(should=parts)
    if wanted.operator in ("eq", "ne", *LISTED):
        held = (OneOf(FACTS, tuple(fact(wanted.key, value) for value in wanted.values)),)
        return Group(must=held) if wanted.operator in ("eq", "in") else Group(must_not=held)
    compared = Compared(number_field(wanted.key), wanted.operator, float(wanted.values[0]))
    return Group(must=(Is(FACTS, has_number(wanted.key)), compared))
