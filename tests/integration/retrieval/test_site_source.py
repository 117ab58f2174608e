"""Web sites as sources, on a real server of this machine, and requests that must not be made."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from retrieval.errors import DocumentRefused, SourceRefused, SourceUnavailable, SyncStopped
from retrieval.sources.outbound import Guard, Outbound
from services.kit.settings import SourceSettings
from tests.integration.worker.sync_desk import Desk, open_desk

SITE_MAP = '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{}</urlset>'
INDEX = "<sitemapindex>{}</sitemapindex>"
PAGE = "<html><head><title>{0}</title></head><body><nav>Menu {2}</nav><main><h1>{0}</h1><p>{1}</p></main></body></html>"


@dataclass
class Page:
    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pause: float = 0.0  # seconds between the bytes


class Site:
    """A server whose pages can be changed. `asked` are the paths of its requests, `answered` those with a body."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[str] = []
        self.answered: list[str] = []
        self.down = False
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.answer(self)

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(request.path)
        page = Page(b"broken", 500) if self.down else self.pages.get(request.path, Page(b"not found", 404))
        known = request.headers.get("If-None-Match")
        status = 304 if known and known == page.headers.get("ETag") else page.status
        body = b"" if status == 304 else page.body
        request.send_response(status)
        for name, value in {"Content-Type": "text/html; charset=utf-8", **page.headers}.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if page.pause:
            for byte in body:
                request.wfile.write(bytes([byte]))
                request.wfile.flush()
                time.sleep(page.pause)
        else:
            request.wfile.write(body)
        if status != 304:
            self.answered.append(request.path)

    def page(self, path: str, title: str, text: str, menu: str = "", **headers: str) -> None:
        self.pages[path] = Page(PAGE.format(title, text, menu).encode(), headers=headers)

    def map(self, *paths: str, name: str = "/sitemap.xml") -> None:
        locations = "".join(f"<url><loc>{path if '://' in path else self.url + path}</loc></url>" for path in paths)
        self.pages[name] = Page(SITE_MAP.format(locations).encode(), headers={"Content-Type": "application/xml"})


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    made.page("/refunds", "Refunds", "Refunds are paid within five working days.", ETag='"1"')
    made.page("/tyres.html", "Tyres", "The tyre pressure is 3.8 bar.")
    made.map("/refunds", "/tyres.html")
    yield made
    made.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path / "home", SourceSettings(private_hosts=["127.0.0.1"], request_timeout=5.0)) as opened:
        yield opened


def test_pages_of_a_site_map_answer_with_their_address(desk: Desk, site: Site) -> None:
    desk.add("site", f"{site.url}/sitemap.xml")
    assert desk.step()["new"] == 2
    (found,) = desk.search("refunds paid within")[:1]
    assert (found.chunk.url, found.chunk.title) == (f"{site.url}/refunds", "Refunds")
    assert "Menu" not in found.chunk.text


def test_what_a_server_says_is_unchanged_is_not_sent_again_and_menus_do_not_count(desk: Desk, site: Site) -> None:
    desk.add("site", f"{site.url}/sitemap.xml")
    desk.step()
    site.answered.clear()
    site.page("/tyres.html", "Tyres", "The tyre pressure is 3.8 bar.", menu="of another day")
    assert desk.step()["unchanged"] == 2
    assert "/refunds" in site.asked
    assert "/refunds" not in site.answered
    site.page("/refunds", "Refunds", "Refunds are paid within nine working days.", ETag='"2"')
    assert desk.step()["changed"] == 1
    assert "nine working days" in desk.search("refunds paid within")[0].chunk.text


def test_an_index_of_packed_site_maps_is_read_and_robots_are_kept_to(desk: Desk, site: Site) -> None:
    site.page("/private/plan", "Plan", "The plan is secret.")
    site.map("/refunds", "/private/plan", name="/one.xml")
    site.map("/tyres.html", "http://elsewhere.test/page", name="/two.xml")
    site.pages["/two.xml.gz"] = Page(gzip.compress(site.pages.pop("/two.xml").body))
    maps = "".join(f"<sitemap><loc>{site.url}{name}</loc></sitemap>" for name in ("/one.xml", "/two.xml.gz"))
    site.pages["/maps.xml"] = Page(INDEX.format(maps).encode())
    robots = f"User-agent: *\nDisallow: /private/\nSitemap: {site.url}/maps.xml\n"
    site.pages["/robots.txt"] = Page(robots.encode(), headers={"Content-Type": "text/plain"})
    desk.add("site", site.url)
    assert desk.step()["new"] == 2
    assert "/private/plan" not in site.asked
    assert desk.answers("plan refunds tyre") == {"refunds.html", "tyres.html"}


def test_a_page_that_is_gone_goes_and_one_that_fails_stays(desk: Desk, site: Site) -> None:
    desk.add("site", f"{site.url}/sitemap.xml")
    desk.step()
    site.pages["/refunds"] = Page(b"broken", 500)
    report = desk.step()
    assert (report["failed_count"], report["removed"]) == (1, 0)
    assert "HTTP 500" in report["failed"][0]["reason"]
    assert desk.answers("refunds paid tyre") == {"refunds.html", "tyres.html"}
    del site.pages["/refunds"]
    assert desk.step()["removed"] == 1
    assert desk.answers("refunds paid tyre") == {"tyres.html"}


def test_a_host_that_goes_down_in_the_middle_ends_the_sync_and_removes_nothing(desk: Desk, site: Site) -> None:
    names = [f"/page/{number}" for number in range(12)]
    for name in names:
        site.page(name, f"Page {name}", f"Text of {name}.")
    site.map(*names)
    desk.add("site", f"{site.url}/sitemap.xml")
    assert desk.step()["new"] == 12
    site.map(*names[:6])
    for name in names[2:6]:
        site.pages[name] = Page(b"broken", 503)
    site.pages["/page/1"] = Page(b"broken", 503)
    with pytest.raises(SyncStopped, match=r"5 pages in a row.*Nothing was removed") as stopped:
        desk.sync()
    assert (stopped.value.report["unchanged"], stopped.value.report["failed_count"]) == (1, 4)
    site.down = True
    with pytest.raises(SyncStopped, match="HTTP 500"):
        desk.sync()
    site.close()
    with pytest.raises(SyncStopped, match="does not answer"):
        desk.sync()
    assert len(desk.rows()) == 12


BOMB = gzip.compress(b"x" * 60 * 2**20, mtime=0)


@pytest.mark.parametrize(
    "body",
    [b"<html>login</html>", b"not xml", b"", BOMB, gzip.compress(b"<urlset>", mtime=0)[:-4],
     b'<!DOCTYPE a [<!ENTITY b "c">]><urlset>&b;</urlset>'],
)  # fmt: skip
def test_what_is_no_site_map_removes_nothing(desk: Desk, site: Site, body: bytes) -> None:
    desk.add("site", f"{site.url}/sitemap.xml")
    desk.step()
    site.pages["/sitemap.xml"] = Page(body)
    with pytest.raises(SyncStopped, match="Nothing was removed"):
        desk.sync()
    assert len(desk.rows()) == 2


def test_text_in_another_character_set_is_read_as_the_server_names_it(desk: Desk, site: Site) -> None:
    body = PAGE.format("Öffnung", "Geöffnet täglich außer Montag.", "").encode("iso-8859-1")
    site.pages["/hours"] = Page(body, headers={"Content-Type": "text/html; charset=ISO-8859-1"})
    site.map("/hours")
    desk.add("site", f"{site.url}/sitemap.xml")
    assert desk.step()["new"] == 1
    assert "Geöffnet täglich außer Montag." in desk.search("Geöffnet täglich")[0].chunk.text


def test_a_redirect_to_another_host_is_refused_and_one_on_the_host_followed(desk: Desk, site: Site) -> None:
    site.pages["/moved"] = Page(b"", 301, {"Location": "/refunds"})
    site.pages["/away"] = Page(b"", 302, {"Location": "http://169.254.169.254/latest/meta-data"})
    site.pages["/file"] = Page(b"", 302, {"Location": "file:///etc/passwd"})
    site.pages["/round"] = Page(b"", 302, {"Location": "/round"})
    site.map("/moved", "/away", "/file", "/round")
    desk.add("site", f"{site.url}/sitemap.xml", hosts=["169.254.169.254"])
    report = desk.step()
    reasons = {failure["key"].removeprefix(site.url): failure["reason"] for failure in report["failed"]}
    assert report["new"] == 1
    assert "not public" in reasons["/away"]
    assert "another host" in reasons["/file"]
    assert "5 redirects" in reasons["/round"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:1/", "not public"),
        ("http://localhost:1/", "not public"),
        ("http://[::1]:1/", "not public"),
        ("http://[::ffff:10.0.0.1]/", "not public"),
        ("http://[64:ff9b::a00:1]/", "not public"),
        ("http://10.1.2.3/", "not public"),
        ("http://169.254.169.254/latest", "not public"),
        ("http://0.0.0.0/", "not public"),
        ("http://2130706433/", "not public"),
        ("http://inside.test/", "not public"),
        ("file:///etc/passwd", "only http and https"),
        ("ftp://example.org/", "only http and https"),
        ("http://user:word@example.org/", "user or password"),
        ("http:///path", "names no host"),
        ("http://example.org:99999/", "no URL"),
    ],
)
def test_addresses_that_are_not_public_are_refused_before_anything_is_sent(url: str, words: str) -> None:
    def resolve(host: str, _port: int) -> list[str]:
        known = {"inside.test": ["93.184.216.34", "127.0.0.1"], "localhost": ["127.0.0.1"], "2130706433": ["127.0.0.1"]}
        return known.get(host, [host])

    with Outbound(Guard((), resolve), 2.0) as http, pytest.raises(SourceRefused, match=words):
        http.get(url, 1000)


def test_the_checked_address_is_the_one_that_is_connected_to(site: Site) -> None:
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    port = site.url.rpartition(":")[2]
    with Outbound(Guard([f"docs.test:{port}"], lambda _host, _port: next(answers)), 5.0) as http:
        assert http.get(f"http://docs.test:{port}/refunds", 10_000).status == 200
    assert next(answers) == ["10.0.0.1"]  # the name was asked for once


def test_a_name_that_does_not_exist_is_an_outage() -> None:
    with Outbound(Guard(), 5.0) as http, pytest.raises(SourceUnavailable, match="cannot be resolved"):
        http.get("http://no-such-host.invalid/", 1000)


def test_bytes_and_time_are_bounded_also_where_they_come_packed_or_one_by_one(site: Site) -> None:
    site.pages["/large"] = Page(b"x" * 20_000)
    site.pages["/bomb"] = Page(gzip.compress(b"x" * 10 * 2**20), headers={"Content-Encoding": "gzip"})
    site.pages["/odd"] = Page(b"x", headers={"Content-Encoding": "br"})
    site.pages["/slow"] = Page(b"x" * 1000, pause=0.1)
    with Outbound(Guard(["127.0.0.1"]), 1.0) as http:
        for path in ("/large", "/bomb"):
            with pytest.raises(DocumentRefused, match="more than 10000 bytes"):
                http.get(site.url + path, 10_000)
        with pytest.raises(DocumentRefused, match="not asked for"):
            http.get(f"{site.url}/odd", 10_000)
        started = time.monotonic()
        with pytest.raises(SourceUnavailable, match="ReadTimeout"):
            http.get(f"{site.url}/slow", 10_000)
        assert time.monotonic() - started < 10
        site.pages["/packed"] = Page(gzip.compress("ü".encode()), headers={"Content-Encoding": "gzip"})
        assert http.get(f"{site.url}/packed?q=ü ", 10_000).status == 404
        assert http.get(f"{site.url}/packed", 10_000).body == "ü".encode()
