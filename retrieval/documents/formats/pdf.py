"""PDF: text by page; headings are recognised by their larger type, tables by their rules."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from itertools import pairwise

from pdfminer.psexceptions import PSException
from pypdf import PdfReader
from pypdf.errors import DeprecationError, PyPdfError

from retrieval.documents.formats.archive import whole
from retrieval.documents.formats.assembler import Assembler
from retrieval.documents.formats.pdf_page import Line, read_page
from retrieval.documents.formats.pdf_tables import TableFinder
from retrieval.errors import UnreadableFile
from retrieval.text.sentences import LINE_END

HEADING_RATIO = 1.12  # a line set at least this much larger than the body is a heading
LONGEST_HEADING = 120
LONGEST_REST = 4  # lines; a sentence that goes on for longer on the next page stays cut
EMPTY_TITLES = ("untitled", "(anonymous)")  # what programs write where nobody named the document
REPEATED_ON = 0.6  # a first or last line found on this share of the pages is a running header or footer


def read_pdf(data: bytes, into: Assembler) -> str | None:
    """Read a PDF into `into`, with each block's page; returns the title in its metadata, or its first heading.

    Raises UnreadableFile if the file is damaged, needs a password, or has more pages than the limit.
    """
    filename, max_pages = into.filename, into.limits.max_pages
    with whole(filename, "PDF", PyPdfError, DeprecationError, PSException):
        reader = PdfReader(BytesIO(data))
        _refuse_locked(reader, filename)
        if len(reader.pages) > max_pages:
            raise UnreadableFile(
                f"{filename} has {len(reader.pages)} pages; at most {max_pages} are read. Split it into smaller files, "
                "or raise the setting max_pages."
            )
        pages = _without_running_lines(list(_pages(reader, data)))
        title = str(reader.metadata.title or "").strip() if reader.metadata else ""
    _assemble(pages, into)
    return (title if title not in EMPTY_TITLES else "") or into.first_heading


def _pages(reader: PdfReader, data: bytes) -> Iterator[list[Line]]:
    """Each page's lines. A page is searched for tables only if its rules form a grid: the search takes five times as
    long.
    """
    tables = TableFinder(data)
    for number, page in enumerate(reader.pages):
        lines, rules = read_page(page)
        yield tables.put_into(lines, number) if rules.form_grid() else lines


def _refuse_locked(reader: PdfReader, filename: str) -> None:
    """A PDF that opens with the empty password is only protected against printing and similar uses; others are
    refused."""
    if reader.is_encrypted and not reader.decrypt(""):
        raise UnreadableFile(f"{filename} is encrypted; remove its password and upload it anew.")


def _without_running_lines(pages: list[list[Line]]) -> list[list[Line]]:
    """Drop first and last lines that repeat from page to page, even with different numbers in them."""
    if len(pages) < 2:
        return pages
    ends: Counter[str] = Counter()
    for lines in pages:
        ends.update({_form(line.text) for line in (*lines[:1], *lines[-1:]) if not line.is_table})
    running = {form for form, times in ends.items() if times >= max(2, REPEATED_ON * len(pages))}
    return [
        [line for at, line in enumerate(lines) if at not in (0, len(lines) - 1) or _form(line.text) not in running]
        for lines in pages
    ]


def _form(text: str) -> str:
    return re.sub(r"\d+", "#", text)


def _assemble(pages: list[list[Line]], into: Assembler) -> None:
    sizes: Counter[float] = Counter()
    for line in (line for lines in pages for line in lines if not line.is_table):
        sizes[line.size] += len(line.text)
    body = sizes.most_common(1)[0][0] if sizes else 0.0
    larger = sorted((size for size in sizes if size > body * HEADING_RATIO), reverse=True)
    _keep_sentences_whole(pages, body)
    for number, lines in enumerate(pages, start=1):
        into.page = number
        _assemble_page(lines, larger, into)


def _keep_sentences_whole(pages: list[list[Line]], body: float) -> None:
    """Move the rest of a sentence that crosses a page's end to the page where it begins."""
    for page, following in pairwise(pages):
        if not page or page[-1].size != body or page[-1].text.endswith((".", "!", "?", ":")):
            continue
        for at, line in enumerate(following[:LONGEST_REST]):
            end = LINE_END.search(line.text)
            if line.size != body or not (at or line.text[:1].islower()):
                break
            if end:
                rest = line.text[end.end() :].strip()
                page[-1] = _joined([page[-1], *following[:at], replace(line, text=line.text[: end.end()])])
                following[: at + 1] = [replace(line, text=rest)] if rest else []
                break


def _assemble_page(lines: list[Line], larger: list[float], into: Assembler) -> None:
    paragraph: list[Line] = []
    title: list[Line] = []
    for line in lines:
        is_heading = line.size in larger and len(line.text) <= LONGEST_HEADING and not line.is_table
        if title and (not is_heading or line.size != title[-1].size):
            _flush_heading(title, larger, into)
        if is_heading or line.is_table or _starts_paragraph(line, paragraph):
            _flush_paragraph(paragraph, into)
        if line.is_table:
            into.block(line.text)
            continue
        (title if is_heading else paragraph).append(line)
    if title:
        _flush_heading(title, larger, into)
    _flush_paragraph(paragraph, into)


def _flush_heading(lines: list[Line], larger: list[float], into: Assembler) -> None:
    into.heading(larger.index(lines[0].size) + 1, " ".join(line.text for line in lines))
    lines.clear()


def _flush_paragraph(lines: list[Line], into: Assembler) -> None:
    if lines:
        into.block(_joined(lines).text)
    lines.clear()


def _joined(lines: list[Line]) -> Line:
    """Lines of one paragraph as one line; a word cut by a hyphen at a line's end is joined."""
    text = ""
    for line in lines:
        if text.endswith("-") and text[-2:-1].isalpha() and line.text[:1].islower():
            text = text[:-1] + line.text
        else:
            text += (" " if text else "") + line.text
    return replace(lines[0], text=text)


def _starts_paragraph(line: Line, before: list[Line]) -> bool:
    """Whether there is more than a line's height between this line and the one before, or a list item begins."""
    if not before:
        return False
    gap = before[-1].bottom - line.bottom
    usual = before[0].bottom - before[1].bottom if len(before) > 1 else 1.35 * line.size * HEADING_RATIO
    return gap > 1.25 * usual or gap < 0 or re.match(r"[\u2022\u25aa\u2013*-]\s|\d+[.)]\s", line.text) is not None
