"""Opens a registered source with its adapter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from retrieval.sources.allowed import Allowed, check_location
from retrieval.sources.bucket import BucketSource
from retrieval.sources.folder import FolderSource
from retrieval.sources.git import GitSource
from retrieval.sources.outbound import Guard, Outbound
from retrieval.sources.port import Bounds, Kind, Source
from retrieval.sources.site import AGENT, SiteSource


@contextmanager
def open_source(
    kind: str, location: str, settings: Mapping[str, Any], allowed: Allowed, bounds: Bounds
) -> Iterator[Source]:
    """The source, for the length of the context. `settings` may have `url_prefix` and `hosts`.

    Raises SourceRefused if the allow-lists no longer cover it, SourceUnavailable if it is not there.
    """
    place = check_location(cast(Kind, kind), location, allowed)
    prefix = settings.get("url_prefix")
    if kind == "site":
        with Outbound(Guard(allowed.private_hosts), bounds.request_seconds, AGENT) as http:
            yield SiteSource(place, http, bounds, tuple(settings.get("hosts") or ()))
    elif kind == "bucket":
        yield BucketSource(place, bounds, prefix)
    elif kind == "git":
        yield GitSource(Path(place), bounds, prefix)
    else:
        yield FolderSource(Path(place), bounds, prefix)
