"""Services accept each other by one token, compared in constant time."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable

from fastapi import Header

from services.kit.errors import ApiError


def require_service_token(expected: str) -> Callable[..., Awaitable[None]]:
    """A dependency that refuses a request without the platform's service token.

    Raises ValueError where the platform has no token: a service never listens without one.
    """
    if not expected:
        raise ValueError("the platform has no service token; start it with `tandem up`, or set TANDEM_SERVICE_TOKEN")

    async def check(authorization: str = Header(default="")) -> None:
        if not hmac.compare_digest(authorization, f"Bearer {expected}"):
            raise ApiError(401, "This service answers only other Tandem services.", code="invalid_service_token")

    return check
