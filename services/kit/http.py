"""HTTP between services: addresses that may be Unix sockets, and the service token."""

from __future__ import annotations

import httpx


def base_url(address: str) -> str:
    """The URL that httpx needs for an address; for a Unix socket the host name has no meaning."""
    return "http://tandem" if address.startswith("unix:") else address


def socket_path(address: str) -> str | None:
    return address.removeprefix("unix:") if address.startswith("unix:") else None


def client(address: str, token: str, timeout: float = 30.0) -> httpx.Client:
    """A client of one service. Close it, or use it as a context."""
    transport = httpx.HTTPTransport(uds=socket_path(address))
    return httpx.Client(
        base_url=base_url(address), transport=transport, headers=bearer(token), timeout=timeout, trust_env=False
    )


def async_client(address: str, token: str, timeout: float = 30.0, connections: int = 256) -> httpx.AsyncClient:
    """As `client`, for asyncio."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=64)
    transport = httpx.AsyncHTTPTransport(uds=socket_path(address), limits=limits)
    return httpx.AsyncClient(
        base_url=base_url(address), transport=transport, headers=bearer(token), timeout=timeout, trust_env=False
    )


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}
