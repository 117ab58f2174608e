"""Limits on a request's body: how many bytes, and which texts."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope

from services.kit.errors import ApiError
from services.kit.texts import place_of_unfit, what_is_unfit

UPLOADS, EMBEDDINGS = "/v1/files", "/v1/embeddings"
HALF_OR_NUL = re.compile(
    rb"\\(?:u(?:0000"
    rb"|[dD](?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD])[c-fC-F]))"
    rb"|\\u)"
)
"""Escapes of a NUL or of half a pair, and an escaped backslash before a u, which only a parser can tell from them.
A whole pair, as each emoji is in ASCII JSON, does not match: most bodies are not parsed for this."""


@dataclass(frozen=True)
class Bounds:
    """The largest bodies, in bytes: of JSON, of texts to embed, of uploads."""

    json: int
    embeddings: int
    uploads: int

    def of(self, path: str) -> tuple[int, str]:
        """The bound for a path, and the name of its setting."""
        if path == UPLOADS:
            return self.uploads, "gateway.max_body_bytes"
        if path == EMBEDDINGS:
            return self.embeddings, "gateway.max_embeddings_bytes"
        return self.json, "gateway.max_json_bytes"


class BodyTooLarge(ApiError, HTTPException):
    """413. It is an HTTPException too, because FastAPI lets no other exception through while it reads a form."""

    def __init__(self, most: int, setting: str) -> None:
        message = f"The request's body is larger than {most} bytes; an operator can raise `{setting}`."
        super().__init__(413, message, code="body_too_large")


class GoneAway(Exception):
    """The client went away while it sent its body."""


def check_address(scope: Scope) -> None:
    """Raises ApiError 400 for a path or a query with a NUL. Half a pair cannot stand there: it is no UTF-8."""
    if "\x00" in scope["path"]:
        raise ApiError(400, "The address has a NUL character (%00).", code="invalid_value")
    if b"%00" in scope["query_string"]:
        for name, value in parse_qsl(scope["query_string"].decode("latin-1")):
            if what := what_is_unfit(name) or what_is_unfit(value):
                place = ascii(name)[1:-1]
                raise ApiError(400, f"{place}: the text has {what}.", code="invalid_value", param=place)


async def checked(scope: Scope, receive: Receive, bounds: Bounds) -> Receive:
    """Gives a route its body once the body is known to be good. A form is read by the route, and counted meanwhile.

    Raises ApiError 400 for a text that cannot be stored, BodyTooLarge, GoneAway.
    """
    headers = dict(scope["headers"])
    if b"content-length" not in headers and b"transfer-encoding" not in headers:
        return receive
    path = scope["path"].rstrip("/")  # with one at its end, a request is sent on to the address without
    most, setting = bounds.of(path)
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > most:
        raise BodyTooLarge(most, setting)
    counted = _counted(receive, most, setting)
    if path == UPLOADS:
        return counted
    body = await _whole(counted)
    await _check_texts(body)
    return _again(body, receive)


def _counted(receive: Receive, most: int, setting: str) -> Receive:
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > most:
            raise BodyTooLarge(most, setting)
        return message

    return counted


async def _whole(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise GoneAway
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


async def _check_texts(body: bytes) -> None:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        message = f"The request body is not UTF-8: byte {error.start} is {body[error.start]:#04x}."
        raise ApiError(400, message, code="invalid_value") from error
    if b"\x00" in body:
        raise ApiError(400, f"The request body has a NUL at byte {body.index(0)}.", code="invalid_value")
    if HALF_OR_NUL.search(body):
        await run_in_threadpool(_check_parsed, body)


def _check_parsed(body: bytes) -> None:
    try:
        found = place_of_unfit(json.loads(body))
    except (ValueError, RecursionError):
        return  # no JSON: the route says so
    if found:
        place, what = found
        message = f"{place or 'The request body'}: the text has {what}; nothing was stored."
        raise ApiError(400, message, code="invalid_value", param=place or None)
