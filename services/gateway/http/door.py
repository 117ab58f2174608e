"""Checks key, address and body of a request before any route of the API.

FastAPI reads and parses a whole body before it calls the first dependency, so a stranger without a key could make it
read 64 MiB. Here the key is looked up before a byte of the body is read.
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.http.access import wanted_access
from services.gateway.http.bounds import Bounds, GoneAway, check_address, checked
from services.gateway.http.callers import Keys, key_of
from services.gateway.http.limits import Limits, Standing
from services.gateway.http.parts import part_of
from services.kit.errors import ApiError, respond

API = "/v1/"


class Door:
    """ASGI middleware. For paths below /v1/ it stores the caller in the request's state, once the key's limits admit
    it.
    """

    def __init__(self, app: ASGIApp, bounds: Bounds) -> None:
        self.app, self.bounds = app, bounds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(API):
            await self.app(scope, receive, send)
            return
        try:
            standing = await _admitted(scope)
            send = _with_headers(send, standing)
            if standing.refusal:
                raise standing.refusal
            check_address(scope)
            receive = await checked(scope, receive, self.bounds)
        except ApiError as error:
            await respond(error)(scope, receive, send)
        except GoneAway:
            return
        else:
            await self.app(scope, receive, send)


async def _admitted(scope: Scope) -> Standing:
    """Count a request of a known key. Raises ApiError 401 for a key that is missing, unknown or revoked.

    A request that no route takes counts as a read, since it costs as little.
    """
    app = scope["app"]
    caller = await part_of(app, Keys).caller(key_of(Headers(scope=scope).get("authorization", "")))
    scope.setdefault("state", {})["caller"] = caller
    access = wanted_access(scope)
    return await part_of(app, Limits).admit(caller, access.counts if access else "reads")


def _with_headers(send: Send, standing: Standing) -> Send:
    if not standing.headers:
        return send

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(standing.headers)
        await send(message)

    return sending
