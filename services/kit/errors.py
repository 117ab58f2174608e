"""Turns errors into HTTP responses, the same for every service, in OpenAI's error shape.

Domain errors carry `status`, `code` and `param` where they know them; their message reaches the client. Any other error
is a 500 whose text stays in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

log = logging.getLogger(__name__)

TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 409: "conflict_error",
         429: "rate_limit_error", 503: "service_unavailable_error"}  # fmt: skip


class ApiError(Exception):
    """An answer to the client that is not a success.

    `message` says what happened, to which thing, and what to do. `retry_after` is in seconds.
    """

    def __init__(
        self, status: int, message: str, *, code: str, param: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param, self.retry_after = status, message, code, param, retry_after


def internal() -> ApiError:
    """What a client is told about an error of our own."""
    return ApiError(500, "An internal error happened; the service's log has the cause.", code="internal")


def body(status: int, message: str, code: str, param: str | None = None) -> dict[str, Any]:
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def respond(error: ApiError) -> JSONResponse:
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after is not None else None
    content = body(error.status, error.message, error.code, error.param)
    return JSONResponse(content, status_code=error.status, headers=headers)


def install(app: FastAPI, domain: Sequence[tuple[type[Exception], int, str]] = ()) -> None:
    """Install the handlers. `domain` maps a library's error classes to (status, code)."""

    async def on_api_error(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ApiError)
        return respond(error)

    async def on_http_error(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return respond(ApiError(error.status_code, str(error.detail), code="http_error"))

    async def on_invalid_request(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            what = f"The request body is not JSON (character {first['loc'][-1]}: {first['ctx']['error']})."
            return respond(ApiError(400, what, code="invalid_value"))
        message = first["msg"].removeprefix("Value error, ")
        where = ".".join(str(part) for part in first["loc"] if part != "body") or None
        return respond(ApiError(400, f"{where or 'The request body'}: {message}", code="invalid_value", param=where))

    async def on_unknown(request: Request, error: Exception) -> JSONResponse:
        log.error("unhandled error in %s %s", request.method, request.url.path, exc_info=error)
        return respond(internal())

    app.add_exception_handler(ApiError, on_api_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_invalid_request)
    app.add_exception_handler(Exception, on_unknown)
    for kind, status, code in domain:
        app.add_exception_handler(kind, _domain_handler(status, code))


def _domain_handler(status: int, code: str) -> Any:
    async def handler(_request: Request, error: Exception) -> JSONResponse:
        return respond(ApiError(status, str(error), code=code))

    return handler
