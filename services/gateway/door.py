"""What stands before every route of the API: the key, the address, the body.

FastAPI reads and parses a whole body before it asks the first dependency, so that a stranger without a key could make
it read 64 MiB; here the key is looked up before a byte of the body is read.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.bodies import Bounds, GoneAway, check_address, checked
from services.gateway.keys import Caller, Keys, Limits, key_of
from services.kit.errors import ApiError, respond

API = "/v1/"


class Door:
    """ASGI middleware. Below /v1/ it leaves the caller in the request's state, admitted under the limits of its key."""

    def __init__(self, app: ASGIApp, bounds: Bounds) -> None:
        self.app, self.bounds = app, bounds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(API):
            await self.app(scope, receive, send)
            return
        try:
            scope.setdefault("state", {})["caller"] = await _caller(scope)
            check_address(scope)
            receive = await checked(scope, receive, self.bounds)
        except ApiError as error:
            await respond(error)(scope, receive, send)
        except GoneAway:
            return
        else:
            await self.app(scope, receive, send)


async def _caller(scope: Scope) -> Caller:
    """Raises ApiError 401 for a key that is missing, unknown or revoked, 429 above its limits."""
    keys: Keys = scope["app"].state.keys
    limits: Limits = scope["app"].state.limits
    caller = await keys.caller(key_of(Headers(scope=scope).get("authorization", "")))
    await limits.admit(caller)
    return caller
