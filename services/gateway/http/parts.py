"""How a route gets the objects that it calls: the app holds them, and a route names the ones that it needs.

A room knows only the classes that it calls, so it need not import the dataclass that holds them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar, get_type_hints

from fastapi import Depends, FastAPI, Request

Part = TypeVar("Part")


@dataclass(frozen=True)
class Needed(Generic[Part]):
    """A route's dependency: the app's part of one type."""

    kind: type[Part]

    async def __call__(self, request: Request) -> Part:
        return part_of(request.app, self.kind)


def part(kind: type[Part]) -> Part:
    """The default of a route's parameter that takes a part: `stores: Stores = part(Stores)`."""
    needed: Part = Depends(Needed(kind))
    return needed


def hold(app: FastAPI, parts: object) -> None:
    """Give an app its parts: a dataclass whose fields all have different types."""
    app.state.parts = parts


def part_of(app: FastAPI, kind: type[Part]) -> Part:
    """The part in the field that is declared with this type. Raises KeyError if there is no such field."""
    parts = app.state.parts
    found: Part = getattr(parts, _fields(parts.__class__)[kind])
    return found


@cache
def _fields(holder: Any) -> dict[type, str]:
    return {kind: name for name, kind in get_type_hints(holder).items()}
