"""Reads files of any format as documents.

Only tests and tools may read a stranger's file in this process; services use `retrieval.documents.parser`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePath

from retrieval.documents.formats.archive import ZIPPED
from retrieval.documents.formats.assembler import Assembler, storable
from retrieval.documents.formats.csv import read_csv
from retrieval.documents.formats.docx import read_docx
from retrieval.documents.formats.eml import read_eml
from retrieval.documents.formats.encoding import HTML_CHARSET, UNICODE_MARKS, decode
from retrieval.documents.formats.epub import read_epub
from retrieval.documents.formats.html import read_html
from retrieval.documents.formats.json import read_json, read_json_lines
from retrieval.documents.formats.limits import Limits
from retrieval.documents.formats.markdown import read_markdown, read_plain_text
from retrieval.documents.formats.pdf import read_pdf
from retrieval.documents.formats.pptx import read_pptx
from retrieval.documents.formats.xlsx import read_xlsx
from retrieval.errors import UnreadableFile, UnsupportedFormat
from retrieval.model import Document

FORMATS = {
    ".md": "Markdown", ".markdown": "Markdown", ".txt": "plain text", ".text": "plain text",
    ".html": "HTML", ".htm": "HTML", ".pdf": "PDF", ".docx": "DOCX", ".pptx": "PPTX", ".xlsx": "XLSX",
    ".csv": "CSV", ".tsv": "CSV", ".epub": "EPUB", ".eml": "e-mail", ".json": "JSON", ".jsonl": "JSON lines",
    ".ndjson": "JSON lines",
}  # fmt: skip
TEXT_READERS: dict[str, Callable[[str, Assembler], str | None]] = {
    "Markdown": read_markdown, "plain text": read_plain_text, "HTML": read_html, "CSV": read_csv,
    "JSON": read_json, "JSON lines": read_json_lines,
}  # fmt: skip
READERS: dict[str, Callable[[bytes, Assembler], str | None]] = {
    "PDF": read_pdf, "DOCX": read_docx, "PPTX": read_pptx, "XLSX": read_xlsx, "EPUB": read_epub, "e-mail": read_eml,
}  # fmt: skip
OLE_CONTAINER = b"\xd0\xcf\x11\xe0"
SIGNATURES = {
    b"%PDF-": "a PDF", b"\x89PNG": "a PNG picture", b"\xff\xd8\xff": "a JPEG picture", b"GIF8": "a GIF picture",
    b"PK\x03\x04": "a ZIP archive or an Office document", b"\x1f\x8b": "a gzip archive", b"\x7fELF": "a program",
    OLE_CONTAINER: "an old Office document", b"RIFF": "a sound, video or picture", b"BZh": "a bzip2 archive",
    b"7z\xbc\xaf": "a 7-Zip archive", b"SQLite format 3": "a database", b"{\\rtf": "RTF",
}  # fmt: skip
OWN_SIGNATURE = {"PDF": b"%PDF-", **dict.fromkeys(ZIPPED, b"PK\x03\x04")}
ADVICE = {
    "PDF": " It may hold pictures of text only; run text recognition over it.",
    "DOCX": " It may hold pictures only.",
    "PPTX": " It may hold pictures only.",
    "XLSX": " Its formulas may have no stored values; open it in a spreadsheet program and save it.",
}


def load(data: bytes, filename: str, url: str | None = None, limits: Limits | None = None) -> Document:
    """Read a file's text, with the headings and pages that its format knows.

    The name's ending decides the format, and the content must fit it. The title is the one in the file's metadata or
    its first heading, depending on the format, or the file's name.

    Raises UnsupportedFormat if no loader reads such a file or the content is of another kind than the name says, and
    UnreadableFile if the file is empty, damaged, encrypted, without text, in an unknown character set, or larger than
    `limits`.
    """
    kind = FORMATS.get(PurePath(filename).suffix.lower())
    if kind is None:
        raise UnsupportedFormat(f"{filename} is of a kind that is not read. Readable are {', '.join(FORMATS)}.")
    if not data.strip():
        raise UnreadableFile(f"{filename} is empty.")
    _check_content(data, filename, kind)
    into = Assembler(filename, limits or Limits())
    try:
        title = _read(data, kind, into)
    except RecursionError as error:
        raise UnreadableFile(f"{filename} is nested too deeply to be read.") from error
    document = into.document(title or PurePath(filename).stem, url)
    if not document.blocks:
        raise UnreadableFile(f"{filename} has no text.{ADVICE.get(kind, '')}")
    return replace(document, title=" ".join(storable(document.title).split()))


def _read(data: bytes, kind: str, into: Assembler) -> str | None:
    if kind in READERS:
        return READERS[kind](data, into)
    return TEXT_READERS[kind](decode(data, into.filename, HTML_CHARSET if kind == "HTML" else None), into)


def _check_content(data: bytes, filename: str, kind: str) -> None:
    own = OWN_SIGNATURE.get(kind)
    if own and own in data[:1024]:
        return
    if kind in ZIPPED and data.startswith(OLE_CONTAINER):
        return  # an encrypted document, most likely: its reader says so
    found = next((name for signature, name in SIGNATURES.items() if data.startswith(signature)), None)
    if found:
        raise UnsupportedFormat(f"{filename} is named as {kind} but holds {found}. Give it its proper ending.")
    if own:
        raise UnsupportedFormat(f"{filename} is named as {kind} but does not hold one. Give it its proper ending.")
    if b"\0" in data and not data.startswith(UNICODE_MARKS):
        raise UnsupportedFormat(f"{filename} is named as {kind} but holds binary data, not text.")
