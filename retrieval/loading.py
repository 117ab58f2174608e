"""Files to documents: Markdown, plain text, HTML and PDF."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import PurePath

from retrieval.errors import UnreadableFile, UnsupportedFormat
from retrieval.formats.assembler import Assembler
from retrieval.formats.html import read_html
from retrieval.formats.markdown import read_markdown, read_plain_text
from retrieval.formats.pdf import read_pdf
from retrieval.model import Document

MAX_PDF_PAGES = 2000
FORMATS = {
    ".md": "Markdown", ".markdown": "Markdown", ".txt": "plain text", ".text": "plain text",
    ".html": "HTML", ".htm": "HTML", ".pdf": "PDF",
}  # fmt: skip
SIGNATURES = {
    b"%PDF-": "a PDF", b"\x89PNG": "a PNG picture", b"\xff\xd8\xff": "a JPEG picture", b"GIF8": "a GIF picture",
    b"PK\x03\x04": "a ZIP archive or an Office document", b"\x1f\x8b": "a gzip archive", b"\x7fELF": "a program",
    b"\xd0\xcf\x11\xe0": "an old Office document", b"RIFF": "a sound, video or picture", b"BZh": "a bzip2 archive",
    b"7z\xbc\xaf": "a 7-Zip archive", b"SQLite format 3": "a database",
}  # fmt: skip
BYTE_ORDER_MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe\x00\x00": "utf-32", b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16",
}  # fmt: skip
DECLARED_CHARSET = re.compile(rb"<meta[^>]+charset=[\"']?\s*([A-Za-z0-9_\-]+)", re.IGNORECASE)


def load(data: bytes, filename: str, url: str | None = None, *, max_pdf_pages: int = MAX_PDF_PAGES) -> Document:
    """Read a file's text, with the headings and pages that its format knows.

    The format follows from the name's ending, and the content has to fit it. The title is the first top heading, the
    HTML or PDF title, or the file's name.

    Raises UnsupportedFormat where no loader reads such a file or the content is of another kind than the name says,
    and UnreadableFile where the file is empty, damaged, encrypted, without text, or in an unknown character set.
    """
    kind = FORMATS.get(PurePath(filename).suffix.lower())
    if kind is None:
        raise UnsupportedFormat(f"{filename} is of a kind that is not read. Readable are {', '.join(FORMATS)}.")
    if not data.strip():
        raise UnreadableFile(f"{filename} is empty.")
    _check_content(data, filename, kind)
    into = Assembler()
    title = read_pdf(data, filename, into, max_pdf_pages) if kind == "PDF" else _read_text(data, filename, kind, into)
    document = into.document(filename, title or PurePath(filename).stem, url)
    if not document.blocks:
        scanned = " It may hold pictures of text only; run text recognition over it." if kind == "PDF" else ""
        raise UnreadableFile(f"{filename} has no text.{scanned}")
    return replace(document, title=" ".join(document.title.split()))


def _check_content(data: bytes, filename: str, kind: str) -> None:
    if kind == "PDF" and b"%PDF-" in data[:1024]:
        return
    found = next((name for signature, name in SIGNATURES.items() if data.startswith(signature)), None)
    if found:
        raise UnsupportedFormat(f"{filename} is named as {kind} but holds {found}. Give it its proper ending.")
    if kind == "PDF":
        raise UnsupportedFormat(f"{filename} is named as PDF but does not hold one. Give it its proper ending.")
    if b"\0" in data and not data.startswith((b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")):
        raise UnsupportedFormat(f"{filename} is named as {kind} but holds binary data, not text.")


def _read_text(data: bytes, filename: str, kind: str, into: Assembler) -> str | None:
    text = _decode(data, filename, kind).replace("\r\n", "\n").replace("\r", "\n")
    readers = {"Markdown": read_markdown, "plain text": read_plain_text, "HTML": read_html}
    return readers[kind](text, into)


def _decode(data: bytes, filename: str, kind: str) -> str:
    """Text by its byte order mark, by an HTML page's own word, else UTF-8.

    Nothing is guessed: charset-normalizer 3.5 takes short Latin-1 English for code page 775, without doubt, and a
    wrong letter in a fact is worse than a refused file.
    """
    encoding = next((name for mark, name in BYTE_ORDER_MARKS.items() if data.startswith(mark)), "utf-8")
    declared = DECLARED_CHARSET.search(data[:4096]) if kind == "HTML" and encoding == "utf-8" else None
    if declared:
        encoding = declared[1].decode("ascii")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UnreadableFile(
            f"{filename} is not valid {encoding.upper()}: byte 0x{data[error.start]:02X} at offset {error.start}, "
            f"line {line}. Save it as UTF-8 and upload it anew."
        ) from error
    except LookupError as error:
        raise UnreadableFile(f"{filename} names a character set that does not exist, {encoding!r}.") from error
