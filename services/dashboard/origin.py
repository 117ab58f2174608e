"""A page of another site must not drive this one: its requests name another origin."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class SameOrigin:
    """ASGI middleware: refuses websockets and changing requests whose Origin is not the host they are sent to.

    A websocket without an Origin is refused too; browsers always send one.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and not _same(scope, required=True):
            await WebSocketClose(code=1008, reason="another origin")(scope, receive, send)
        elif scope["type"] == "http" and scope["method"] not in SAFE_METHODS and not _same(scope, required=False):
            await PlainTextResponse("Requests from another origin are refused.", 403)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def _same(scope: Scope, required: bool) -> bool:
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    origin = headers.get(b"origin")
    if origin is None:
        return not required
    return bool(urlsplit(origin).netloc == headers.get(b"host"))
