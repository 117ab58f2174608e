"""How a route gets what it calls: the app holds its collaborators, and a route names the ones that it needs.

A room knows the classes that it calls and no more, so it does not import the dataclass that holds them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar, get_type_hints

from fastapi import Depends, FastAPI, Request

Part = TypeVar("Part")


@dataclass(frozen=True)
class Needed(Generic[Part]):
    """A route's dependency: the app's collaborator of one kind."""

    kind: type[Part]

    async def __call__(self, request: Request) -> Part:
        return part_of(request.app, self.kind)


def part(kind: type[Part]) -> Part:
    """The default of a route's parameter that takes a collaborator: `stores: Stores = part(Stores)`."""
    needed: Part = Depends(Needed(kind))
    return needed


def hold(app: FastAPI, parts: object) -> None:
    """Give an app its collaborators: a dataclass whose fields are each of another kind."""
    app.state.parts = parts


def part_of(app: FastAPI, kind: type[Part]) -> Part:
    """The collaborator in the field that is declared to be of this kind. Raises KeyError where no field is."""
    parts = app.state.parts
    found: Part = getattr(parts, _fields(parts.__class__)[kind])
    return found


@cache
def _fields(holder: Any) -> dict[type, str]:
    return {kind: name for name, kind in get_type_hints(holder).items()}
