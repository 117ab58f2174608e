"""The XML of site maps: pages, or further site maps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from xml.etree import ElementTree

from retrieval.errors import SourceUnavailable
from retrieval.sources.outbound import unpacked

MAX_BYTES = 50 * 2**20  # what sitemaps.org allows, unpacked
GZIP_SIGNATURE = b"\x1f\x8b"


@dataclass(frozen=True)
class SiteMap:
    """`pages` are the URLs of documents, `maps` those of further site maps."""

    pages: tuple[str, ...]
    maps: tuple[str, ...]


def read_sitemap(data: bytes, url: str) -> SiteMap:
    """Raises SourceUnavailable if it is not a site map: what is not listed may still exist."""
    text = _unpack(data, url) if data.startswith(GZIP_SIGNATURE) else data
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text or b"\0" in text:
        raise SourceUnavailable(f"{url} declares entities or is not UTF-8, as a site map has to be; it is not read.")
    try:
        root = ElementTree.fromstring(text)  # without entities it cannot grow
    except ElementTree.ParseError as error:
        raise SourceUnavailable(f"{url} is not a site map: {error}.") from error
    kind = _name(root)
    if kind not in ("urlset", "sitemapindex"):
        raise SourceUnavailable(f"{url} is not a site map: its root is <{kind}>, not <urlset> or <sitemapindex>.")
    found = tuple(_locations(root))
    return SiteMap(found, ()) if kind == "urlset" else SiteMap((), found)


def _unpack(data: bytes, url: str) -> bytes:
    pieces, size = [], 0
    for piece in unpacked([data], url):
        size += len(piece)
        if size > MAX_BYTES:
            raise SourceUnavailable(f"{url} unpacks to more than {MAX_BYTES} bytes; split the site map.")
        pieces.append(piece)
    return b"".join(pieces)


def _locations(root: ElementTree.Element) -> Iterable[str]:
    for item in root:
        for child in item:
            if _name(child) == "loc" and child.text and child.text.strip():
                yield child.text.strip()


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
