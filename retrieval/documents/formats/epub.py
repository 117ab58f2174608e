"""EPUB: the chapters in reading order, each read as an HTML page."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from urllib.parse import unquote
from xml.etree import ElementTree
from zipfile import ZipFile

from retrieval.documents.formats.archive import open_archive, whole
from retrieval.documents.formats.assembler import Assembler
from retrieval.documents.formats.encoding import XML_ENCODING, decode
from retrieval.documents.formats.html import read_html
from retrieval.errors import UnreadableFile

CONTAINER = "META-INF/container.xml"
ENCRYPTION = "META-INF/encryption.xml"
FONT_MANGLING = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
PAGES = ("application/xhtml+xml", "text/html")


def read_epub(data: bytes, into: Assembler) -> str | None:
    """Read a book into `into`; returns the title in its metadata, or its first heading.

    Raises UnreadableFile for a damaged, copy-protected or oversized file, UnsupportedFormat for another kind.
    """
    archive = open_archive(data, into.filename, "EPUB", into.limits.max_unpacked_bytes)
    with whole(into.filename, "EPUB"):
        _refuse_protected(archive, into.filename)
        path = _package_path(archive)
        package = ElementTree.fromstring(archive.read(path))
        for chapter in _spine(package):
            name = posixpath.normpath(posixpath.join(posixpath.dirname(path), unquote(chapter)))
            into.close(1)
            read_html(decode(archive.read(name), f"{name} in {into.filename}", XML_ENCODING), into)
        title = package.findtext("{*}metadata/{http://purl.org/dc/elements/1.1/}title")
        return title or into.first_heading


def _refuse_protected(archive: ZipFile, filename: str) -> None:
    """Mangled fonts are allowed; anything else in the list of encrypted parts is copy protection."""
    if ENCRYPTION not in archive.namelist():
        return
    methods = ElementTree.fromstring(archive.read(ENCRYPTION)).iterfind(".//{*}EncryptionMethod")
    if any(method.get("Algorithm") not in FONT_MANGLING for method in methods):
        raise UnreadableFile(f"{filename} is copy-protected; upload a copy without protection.")


def _package_path(archive: ZipFile) -> str:
    root = ElementTree.fromstring(archive.read(CONTAINER)).find(".//{*}rootfile")
    if root is None:
        raise ValueError(f"{CONTAINER} names no package")
    return unquote(root.attrib["full-path"])


def _spine(package: ElementTree.Element) -> Iterator[str]:
    """The pages in reading order, without the navigation page."""
    pages = {
        item.attrib["id"]: item.attrib["href"]
        for item in package.iterfind("{*}manifest/{*}item")
        if item.get("media-type") in PAGES and "nav" not in item.get("properties", "").split()
    }
    for entry in package.iterfind("{*}spine/{*}itemref"):
        if entry.attrib["idref"] in pages:
            yield pages[entry.attrib["idref"]]
