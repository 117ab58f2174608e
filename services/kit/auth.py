"""Services accept each other by one token, compared in constant time."""

from __future__ import annotations

import hmac

from starlette.types import ASGIApp, Receive, Scope, Send

from services.kit.errors import ApiError, respond

OPEN = frozenset({"/health", "/ready", "/metrics"})


class ServiceToken:
    """ASGI middleware: a request without the platform's service token is refused before its body is read."""

    def __init__(self, app: ASGIApp, expected: str) -> None:
        self._app, self._expected = app, expected.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN and not self._is_ours(scope):
            error = ApiError(401, "This service answers only other Tandem services.", code="invalid_service_token")
            await respond(error)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _is_ours(self, scope: Scope) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"")
        return hmac.compare_digest(given, self._expected)


def authorization(token: str) -> str:
    """The header that identifies a service.

    Raises ValueError if the platform has no token: a service never listens without one.
    """
    if not token:
        raise ValueError("the platform has no service token; start it with `tandem up`, or set TANDEM_SERVICE_TOKEN")
    return f"Bearer {token}"
