"""Which places an operator allows as sources: checked when a source is registered, and again at every sync."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from retrieval.errors import SourceRefused, SourceUnavailable
from retrieval.sources.outbound import PORTS, Guard, parse
from retrieval.sources.port import Kind


@dataclass(frozen=True)
class Allowed:
    """Folders under which folders and working trees may lie, schemes of buckets, hosts with private addresses."""

    folders: tuple[str, ...] = ()
    bucket_schemes: tuple[str, ...] = ()
    private_hosts: tuple[str, ...] = ()


def check_location(kind: Kind, location: str, allowed: Allowed) -> str:
    """The location in its full form: a folder's path with links resolved.

    Raises SourceRefused if the lists do not cover it. A host that cannot be resolved now passes: it is checked again
    before each connection.
    """
    if kind in ("folder", "git"):
        return str(_folder(location, allowed))
    return _site(location, allowed) if kind == "site" else _bucket(location, allowed)


def _folder(location: str, allowed: Allowed) -> Path:
    path = Path(location)
    if "://" in location or not path.is_absolute() or "\0" in location:
        raise SourceRefused(f"'{location}' is no absolute path of a folder on the worker's machine.")
    try:
        real = path.resolve()
        roots = [Path(root).expanduser().resolve() for root in allowed.folders]
    except (OSError, RuntimeError) as error:
        raise SourceRefused(f"'{location}' cannot be followed: {error}.") from error
    if not any(real.is_relative_to(root) for root in roots):
        listed = f"lists {', '.join(allowed.folders)}" if allowed.folders else "lists none yet"
        raise SourceRefused(
            f"{real} lies under no folder that sources may be read from. The setting sources.folders {listed}."
        )
    return real


def _site(location: str, allowed: Allowed) -> str:
    parts = parse(location)
    with suppress(SourceUnavailable):
        Guard(allowed.private_hosts).addresses(parts.hostname or "", parts.port or PORTS[parts.scheme])
    return location


def _bucket(location: str, allowed: Allowed) -> str:
    scheme, separator, rest = location.partition("://")
    if not separator or not rest or "::" in location:
        raise SourceRefused(f"'{location}' is no bucket's URL, as s3://bucket/folder.")
    if scheme in PORTS:
        raise SourceRefused(f"{location} is a web address; register it with the kind 'site'.")
    if scheme not in allowed.bucket_schemes:
        listed = ", ".join(allowed.bucket_schemes) or "none"
        raise SourceRefused(f"{scheme}:// is not among the schemes of the setting sources.bucket_schemes: {listed}.")
    if scheme in ("file", "local"):
        return f"{scheme}://{_folder(rest, allowed)}"
    return location
