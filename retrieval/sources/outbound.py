"""Requests to addresses that somebody else chose: a name is resolved once, checked, and the checked address is used.

An address that is not public is refused unless its host is listed. The caller follows redirects, each through `get`
again. Bytes and time are limited, also for a server that sends a byte a second or a small archive that grows.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

import httpcore

from retrieval.errors import DocumentRefused, SourceRefused, SourceUnavailable

PORTS = {"http": 80, "https": 443}
GZIP = 16 + zlib.MAX_WBITS
NAT64 = ipaddress.ip_network("64:ff9b::/96")
SPECIAL = ipaddress.ip_network("192.0.0.0/24")  # for protocols; Python before 3.11.10 and 3.12.4 takes most for global
Resolve = Callable[[str, int], list[str]]


@dataclass(frozen=True)
class Response:
    """What came back. `headers` have lower-case names."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name. Raises SourceUnavailable."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise SourceUnavailable(f"The name {host} cannot be resolved: {error}.") from error
    return list(dict.fromkeys(str(address[4][0]) for address in found))


def is_public(address: str) -> bool:
    """Whether an address is one of the open internet, also where IPv6 wraps an IPv4 address."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        wrapped = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if found in NAT64:
            wrapped = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if wrapped is not None:
            return is_public(str(wrapped))
        if found.is_site_local:
            return False
    return found.is_global and not found.is_multicast and not found.is_reserved and found not in SPECIAL


def parse(url: str) -> SplitResult:
    """A URL that may be requested. Raises SourceRefused for others."""
    try:
        parts = urlsplit(url)
        _ = parts.port, (parts.hostname or "").encode("idna")
    except ValueError as error:
        raise SourceRefused(f"{url!r} is no URL: {error}.") from error
    if parts.scheme not in PORTS:
        raise SourceRefused(f"{url} is not read: only http and https are.")
    if not parts.hostname:
        raise SourceRefused(f"{url} names no host.")
    if parts.username is not None or parts.password is not None:
        raise SourceRefused(f"The URL of {parts.hostname} carries a user or password; pages are read without.")
    return parts


class Guard:
    """Which hosts may be asked. `private_hosts` are `host` or `host:port`, exempt from the check of addresses."""

    def __init__(self, private_hosts: Iterable[str] = (), resolve: Resolve = resolve) -> None:
        self._private, self._resolve = frozenset(host.lower() for host in private_hosts), resolve

    def addresses(self, host: str, port: int) -> list[str]:
        """The addresses to connect to, resolved now.

        Raises SourceRefused if one of them is not public, SourceUnavailable if there is none.
        """
        found = self._resolve(host, port)
        if not found:
            raise SourceUnavailable(f"The name {host} has no address.")
        name = host.lower().rstrip(".")
        if name in self._private or f"{name}:{port}" in self._private:
            return found
        inner = [address for address in found if not is_public(address)]
        if inner:
            raise SourceRefused(
                f"{host} has the address {inner[0]}, which is not public. Where that is meant, list '{host}' in the "
                "setting sources.private_hosts."
            )
        return found


class _Clock:
    """The time left for the request under way."""

    deadline = 0.0

    def left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the time for one document is used up")
        return left


class _TimedStream(httpcore.NetworkStream):
    """A connection on which the whole answer has one deadline, not each read its own."""

    def __init__(self, stream: httpcore.NetworkStream, clock: _Clock) -> None:
        self._stream, self._clock = stream, clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, self._clock.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, self._clock.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        return _TimedStream(self._stream.start_tls(ssl_context, server_hostname, self._clock.left()), self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    """Connects to what the guard has checked, so that a name cannot change in between."""

    def __init__(self, guard: Guard, clock: _Clock) -> None:
        self._guard, self._clock, self._tcp = guard, clock, httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        last: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in self._guard.addresses(host, port):
            try:
                stream = self._tcp.connect_tcp(address, port, self._clock.left(), local_address, socket_options)
                return _TimedStream(stream, self._clock)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last or httpcore.ConnectError(f"{host} has no address")


class Outbound:
    """A client that only reads. Close it, or use it as a context."""

    def __init__(self, guard: Guard, seconds: float, user_agent: str = "tandem") -> None:
        self._seconds, self._user_agent = seconds, user_agent
        self._clock = _Clock()
        backend = _Backend(guard, self._clock)
        self._pool = httpcore.ConnectionPool(network_backend=backend, max_connections=2, keepalive_expiry=10.0)

    def __enter__(self) -> Outbound:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._pool.close()

    def get(self, url: str, max_bytes: int, headers: Mapping[str, str] | None = None) -> Response:
        """One request; redirects are answered, not followed.

        Raises SourceRefused for an address that may not be asked, DocumentRefused for a body above `max_bytes`,
        SourceUnavailable where the host does not answer, or not to the end within the time for one request.
        """
        parse(url)
        usual = {"User-Agent": self._user_agent, "Accept-Encoding": "gzip", "Accept": "*/*"}
        sent = list({**usual, **(headers or {})}.items())
        self._clock.deadline = time.monotonic() + self._seconds
        try:
            with self._pool.stream("GET", _ascii(url), headers=sent) as response:
                got = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
                pieces = response.iter_stream()
                body = b"".join(_bounded(_decoded(pieces, got.get("content-encoding", ""), url), url, max_bytes))
                return Response(url, response.status, got, body)
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            reason = f"{type(error).__name__}: {error}".rstrip(": ")
            raise SourceUnavailable(f"{url} does not answer ({reason}).") from error


def _ascii(url: str) -> bytes:
    """The URL as it goes over the wire."""
    parts = urlsplit(url)
    host = (parts.hostname or "").encode("idna").decode() if not (parts.hostname or "").isascii() else parts.netloc
    port = f":{parts.port}" if parts.port and host != parts.netloc else ""
    path, query = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~"), quote(parts.query, safe="=&%:@!$'()*+,;/?~")
    return f"{parts.scheme}://{host}{port}{path}{'?' + query if query else ''}".encode("ascii")


def _bounded(pieces: Iterator[bytes], url: str, most: int) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > most:
            raise DocumentRefused(f"{url} has more than {most} bytes, the limit.")
        yield piece


def _decoded(pieces: Iterator[bytes], encoding: str, url: str) -> Iterator[bytes]:
    if encoding in ("", "identity"):
        yield from pieces
    elif encoding in ("gzip", "x-gzip"):
        yield from unpacked(pieces, url)
    else:
        raise DocumentRefused(f"{url} is sent as {encoding!r}, which was not asked for.")


def unpacked(pieces: Iterable[bytes], name: str, step: int = 1 << 20) -> Iterator[bytes]:
    """The content of a gzip stream, at most `step` bytes at a time. Raises DocumentRefused if it is damaged."""
    unpacking = zlib.decompressobj(GZIP)
    try:
        for piece in pieces:
            while piece:
                yield unpacking.decompress(piece, step)
                piece = unpacking.unconsumed_tail
    except zlib.error as error:
        raise DocumentRefused(f"{name} is damaged: {error}.") from error
    if not unpacking.eof:
        raise DocumentRefused(f"{name} is cut short.")
