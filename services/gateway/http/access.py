"""What a route asks of a key: one of some scopes, and the limit that its requests count against.

The dependency that gives a route its caller says this, so there is no separate list of paths.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.routing import BaseRoute, Match
from starlette.types import Scope as Connection

from services.gateway.http.callers import Caller
from services.gateway.http.limits import Bucket
from services.kit.errors import ApiError

Scope = Literal["ask", "knowledge", "voice", "operate", "workspaces"]
BEARER = HTTPBearer(auto_error=False)  # for the OpenAPI document; the door has looked the key up by then


@dataclass(frozen=True)
class Access:
    """A route's dependency: the caller whom the door let in, if it has one of `scopes`.

    Raises ApiError 403 if it has none. `counts` is the limit that the door counts requests against.
    """

    scopes: tuple[Scope, ...]
    counts: Bucket

    async def __call__(self, request: Request, _shown: object = Depends(BEARER)) -> Caller:
        caller: Caller = request.state.caller
        if caller.scopes.isdisjoint(self.scopes):
            raise lacks(self.scopes)
        return caller


def require(*scopes: Scope, counts: Bucket) -> Access:
    return Access(scopes, counts)


def lacks(scopes: Iterable[Scope], what: str = "") -> ApiError:
    """The 403 for a caller without any of these scopes; `what` names the action that needs them."""
    named = " or ".join(f"'{scope}'" for scope in scopes)
    message = f"{what} needs the scope {named}, which this key lacks." if what else f"This key lacks the scope {named}."
    return ApiError(403, message, code="missing_scope")


def access_of(route: BaseRoute) -> Access | None:
    """What a route asks of a key; None if it asks for nothing."""
    if not isinstance(route, APIRoute):
        return None
    return next((one.call for one in route.dependant.dependencies if isinstance(one.call, Access)), None)


def wanted_access(connection: Connection) -> Access | None:
    """What the route of this request asks for; None if no route takes the request."""
    for route in connection["app"].routes:
        if route.matches(connection)[0] is Match.FULL:
            return access_of(route)
    return None
