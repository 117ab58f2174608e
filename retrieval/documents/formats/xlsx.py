"""XLSX: the visible sheets, each under its name, each row a line of its own with its column names."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time
from itertools import chain
from typing import Any

from openpyxl import load_workbook

from retrieval.documents.formats.archive import open_archive, whole
from retrieval.documents.formats.assembler import Assembler
from retrieval.documents.formats.rows import add_sheet


def read_xlsx(data: bytes, into: Assembler) -> str | None:
    """Read a workbook into `into`; returns the title in its properties, or None.

    Values are those that the spreadsheet program stored, dates in ISO form. Raises UnreadableFile for a damaged,
    encrypted or oversized file, UnsupportedFormat for another kind.
    """
    archive = open_archive(data, into.filename, "XLSX", into.limits.max_unpacked_bytes)
    with whole(into.filename, "XLSX"):
        book = load_workbook(archive.fp, read_only=True, data_only=True)
        for sheet in book.worksheets:
            if sheet.sheet_state == "visible":
                _read_sheet(sheet, into)
        return book.properties.title or None


def _read_sheet(sheet: Any, into: Assembler) -> None:
    sheet.reset_dimensions()  # the size that a file states may be a million rows, or one
    rows = _rows(sheet)
    first = next(rows, None)
    if first is not None:
        into.close(1)
        into.heading(1, sheet.title)
        add_sheet(chain([first], rows), 2, into)


def _rows(sheet: Any) -> Iterator[list[str]]:
    for row in sheet.iter_rows():
        cells = [_text(cell) for cell in row]
        if any(cells):
            yield cells


def _text(cell: Any) -> str:
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{100 * value:.10g}%" if "%" in str(cell.number_format) else f"{value:.12g}"
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time.min else value.isoformat(" ", "minutes")
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value)
