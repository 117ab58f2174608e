"""Pages of a list by OpenAI's cursors: the id of an object says where the next or the previous page begins."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from fastapi import Query
from sqlalchemy import ColumnElement, Select, and_, or_
from sqlalchemy.orm import InstrumentedAttribute, Session

from services.kit.errors import ApiError

EVENT_NUMBER = re.compile("[0-9]{1,18}")  # the database's numbers have 63 bits
Order = Literal["asc", "desc"]
Place = tuple[datetime, str]


@dataclass(frozen=True)
class Cursor:
    """`after` and `before` are ids of objects of the list; with neither, the page is the first one."""

    limit: int = 20
    order: Order = "desc"
    after: str | None = None
    before: str | None = None


def cursor(
    limit: int = Query(default=20, ge=1, le=100),
    order: Order = "desc",
    after: str | None = None,
    before: str | None = None,
) -> Cursor:
    """A route's dependency: the page that the request asks for."""
    return Cursor(limit, order, after, before)


def page(data: list[dict[str, Any]], has_more: bool = False) -> dict[str, Any]:
    """A list in OpenAI's shape."""
    ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    return {"object": "list", "data": data, **ends, "has_more": has_more}


def event_number(event_id: str, prefix: str) -> int:
    """The number in an event's id. Raises ApiError 404 for anything that is no such id, such as `ftevent-²`."""
    number = event_id.removeprefix(prefix)
    if not EVENT_NUMBER.fullmatch(number):
        raise ApiError(404, f"There is no event '{event_id}'.", code="event_not_found", param="after")
    return int(number)


def read_page(
    session: Session,
    query: Select[*tuple[Any, ...]],
    created: InstrumentedAttribute[datetime],
    key: InstrumentedAttribute[str],
    wanted: Cursor,
    place: Callable[[str], Place],
) -> tuple[list[Any], bool]:
    """The rows of a page, ordered by time of creation, and whether there are more in the direction of reading.

    `place` gives an object's time and id, and raises ApiError 404 for an id that is not of this list.
    """
    ascending = wanted.order == "asc"
    backwards = wanted.before is not None and wanted.after is None
    if wanted.after is not None:
        query = query.where(_beyond(created, key, place(wanted.after), ascending))
    if wanted.before is not None:
        query = query.where(_beyond(created, key, place(wanted.before), not ascending))
    upwards = ascending != backwards
    columns = (created.asc(), key.asc()) if upwards else (created.desc(), key.desc())
    rows = list(session.execute(query.order_by(*columns).limit(wanted.limit + 1)))
    page, more = rows[: wanted.limit], len(rows) > wanted.limit
    return (page[::-1] if backwards else page), more


def _beyond(
    created: InstrumentedAttribute[datetime], key: InstrumentedAttribute[str], place: Place, upwards: bool
) -> ColumnElement[bool]:
    moment, name = place
    if upwards:
        return or_(created > moment, and_(created == moment, key > name))
    return or_(created < moment, and_(created == moment, key < name))
