"""A web site by its site map: the pages that it lists, on its own host."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from email.message import Message
from pathlib import PurePosixPath
from urllib.parse import urljoin, urlsplit, urlunsplit
from urllib.robotparser import RobotFileParser

from retrieval.documents.loading import load
from retrieval.errors import DocumentGone, DocumentRefused, SourceRefused, SourceUnavailable
from retrieval.sources.outbound import Outbound, Response
from retrieval.sources.port import Bounds, Content, Entry, digest
from retrieval.sources.sitemap import MAX_BYTES, SiteMap, read_sitemap

AGENT = "tandem"
MOST_REDIRECTS = 5
MOST_MAPS = 1000
MOST_SILENT = 5  # pages in a row without an answer: the host is down
MAX_ROBOTS_BYTES = 512 * 1024
ENDINGS = {
    "text/html": ".html", "application/xhtml+xml": ".html", "text/plain": ".txt", "text/markdown": ".md",
    "application/pdf": ".pdf",
}  # fmt: skip
GONE = (404, 410)
REDIRECTS = (301, 302, 303, 307, 308)


class SiteSource:
    """`location` is a site map's URL, or a site's: then robots.txt names the maps, else it is /sitemap.xml.

    `hosts` are further hosts whose pages are read. robots.txt is kept to; its delays are not.
    """

    def __init__(self, location: str, http: Outbound, bounds: Bounds, hosts: tuple[str, ...] = ()) -> None:
        self._location, self._http, self._bounds = location, http, bounds
        self._hosts = {_host(location), *(host.lower() for host in hosts)}
        self._robots: dict[str, RobotFileParser] = {}
        self._silent = 0

    def entries(self) -> Iterator[Entry]:
        waiting, read = list(reversed(self._first_maps())), set[str]()
        while waiting:
            url = waiting.pop()
            if url in read:
                continue
            if len(read) >= MOST_MAPS:
                raise SourceUnavailable(f"{self._location} leads to more than {MOST_MAPS} site maps.")
            read.add(url)
            found = self._map(url)
            waiting += reversed(found.maps)
            for page in found.pages:
                if self._is_ours(page) and self._allowed(page):
                    yield Entry(page.partition("#")[0])

    def read(self, entry: Entry, known_hint: str | None) -> Content | None:
        response = self._page(entry.key, _conditions(known_hint))
        if response.status == 304:
            return None
        if response.status in GONE:
            raise DocumentGone(f"{entry.key} is not there any more (HTTP {response.status}).")
        if response.status != 200:
            raise DocumentRefused(f"{entry.key} answers with HTTP {response.status}.")
        kind, charset = _content_type(response.headers.get("content-type", ""))
        filename = _filename(entry.key, kind)
        data = _as_utf8(response.body, charset, entry.key) if kind.startswith("text/") else response.body
        return Content(data, filename, _text_digest(data, filename), _hint(response), entry.key)

    def revision(self) -> str | None:
        return None

    def _first_maps(self) -> list[str]:
        parts = urlsplit(self._location)
        if parts.path not in ("", "/"):
            return [self._location]
        named = self._robots_of(self._location).site_maps()
        return named or [urlunsplit((parts.scheme, parts.netloc, "/sitemap.xml", "", ""))]

    def _map(self, url: str) -> SiteMap:
        if not self._is_ours(url):
            raise SourceUnavailable(f"The site map {url} lies on another host; list it in the source's hosts.")
        try:
            response = self._follow(url, {}, MAX_BYTES)
            if response.status != 200:
                raise SourceUnavailable(f"The site map {url} answers with HTTP {response.status}.")
            return read_sitemap(response.body, url)
        except (DocumentRefused, SourceRefused) as error:
            raise SourceUnavailable(str(error)) from error

    def _page(self, url: str, conditions: dict[str, str]) -> Response:
        """One page; after five in a row without an answer the host counts as down."""
        try:
            response = self._follow(url, conditions, self._bounds.max_file_bytes)
        except SourceUnavailable as error:
            self._silent += 1
            if self._silent >= MOST_SILENT:
                raise
            raise DocumentRefused(str(error)) from error
        except SourceRefused as error:
            raise DocumentRefused(str(error)) from error
        self._silent = self._silent + 1 if response.status >= 500 or response.status == 429 else 0
        if self._silent >= MOST_SILENT:
            message = f"{_host(url)} answered {MOST_SILENT} pages in a row with errors, last HTTP {response.status}."
            raise SourceUnavailable(message)
        return response

    def _follow(self, url: str, headers: dict[str, str], max_bytes: int) -> Response:
        """A request with its redirects, each checked like the first."""
        for _ in range(MOST_REDIRECTS):
            response = self._http.get(url, max_bytes, headers)
            if response.status not in REDIRECTS or "location" not in response.headers:
                return response
            target = response.headers["location"]
            with suppress(ValueError):
                target = urljoin(url, target)
            if not self._is_ours(target):
                raise DocumentRefused(f"{url} leads to {target}, another host; list it in the source's hosts.")
            url = target
        raise DocumentRefused(f"{url} comes after {MOST_REDIRECTS} redirects; give up.")

    def _is_ours(self, url: str) -> bool:
        return url.partition(":")[0].lower() in ("http", "https") and _host(url) in self._hosts

    def _allowed(self, url: str) -> bool:
        return self._robots_of(url).can_fetch(AGENT, url)

    def _robots_of(self, url: str) -> RobotFileParser:
        parts = urlsplit(url)
        address = urlunsplit((parts.scheme, parts.netloc, "/robots.txt", "", ""))
        if address not in self._robots:
            self._robots[address] = self._read_robots(address)
        return self._robots[address]

    def _read_robots(self, address: str) -> RobotFileParser:
        """RFC 9309: without a robots.txt everything is allowed; if it cannot be fetched now, everything is forbidden
        now.
        """
        rules = RobotFileParser()
        try:
            response = self._follow(address, {}, MAX_ROBOTS_BYTES)
        except DocumentRefused as error:
            raise SourceUnavailable(str(error)) from error
        if response.status >= 500 or response.status == 429:
            raise SourceUnavailable(f"{address} answers with HTTP {response.status}.")
        text = response.body.decode("utf-8", "replace") if response.status == 200 else ""
        rules.parse(text.splitlines())
        return rules


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def _conditions(hint: str | None) -> dict[str, str]:
    etag, _, modified = (hint or "").partition("\n")
    return ({"If-None-Match": etag} if etag else {}) | ({"If-Modified-Since": modified} if modified else {})


def _hint(response: Response) -> str | None:
    etag, modified = response.headers.get("etag", ""), response.headers.get("last-modified", "")
    return f"{etag}\n{modified}" if etag or modified else None


def _content_type(header: str) -> tuple[str, str | None]:
    message = Message()
    message["Content-Type"] = header or "application/octet-stream"
    return message.get_content_type(), message.get_content_charset()


def _filename(url: str, kind: str) -> str:
    """A name for the page whose ending fits its content type: the loader is chosen by it."""
    parts = urlsplit(url)
    path = PurePosixPath(parts.path.strip("/") or "index")
    ending = ENDINGS.get(kind, path.suffix)
    stem = str(path.with_suffix("")) if path.suffix in (ending, ".htm") else str(path)
    mark = f"-{hashlib.sha256(parts.query.encode()).hexdigest()[:8]}" if parts.query else ""
    return f"{stem}{mark}{ending}"


def _as_utf8(data: bytes, charset: str | None, url: str) -> bytes:
    """Text in the character set that the server named, as UTF-8 with a mark that the loader goes by."""
    if charset is None or charset in ("utf-8", "us-ascii"):
        return data
    try:
        return data.decode(charset).encode("utf-8-sig")
    except (LookupError, UnicodeDecodeError) as error:
        raise DocumentRefused(f"{url} is not in the character set {charset!r} that its server names.") from error


def _text_digest(data: bytes, filename: str) -> str:
    """For a page only its text counts: dates, tokens and menus around it change with every request."""
    if not filename.endswith(".html"):
        return digest(data)
    document = load(data, filename)
    return digest(f"{document.title}\n{document.text}".encode())
