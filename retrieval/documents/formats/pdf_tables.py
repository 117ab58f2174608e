"""A PDF's ruled tables, as rows in place of their lines of text."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pdfplumber

from retrieval.documents.formats.pdf_page import Line
from retrieval.documents.formats.rows import table_text

MARGIN = 3.0  # points by which a line may begin outside of the table that it belongs to
FILLED = 0.5  # of a table's cells; frames around running text have few
ALIKE = 0.1  # by which share the table's text may be shorter or longer than the lines that it replaces


class TableFinder:
    """Opens the file a second time, with pdfplumber, when the first page asks for it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._pdf: Any = None

    def put_into(self, lines: list[Line], number: int) -> list[Line]:
        """The page's lines with its tables; unchanged if none is found. `number` counts from 0."""
        self._pdf = self._pdf or pdfplumber.open(BytesIO(self._data))
        page = self._pdf.pages[number]
        for table in page.find_tables():
            rows = [[cell or "" for cell in row] for row in table.extract()]
            if _is_table(rows):
                lines = _replaced(lines, rows, table.bbox, float(page.height))
        page.close()
        return lines


def _is_table(rows: list[list[str]]) -> bool:
    filled = sum(bool(cell.strip()) for row in rows for cell in row)
    columns = {at for row in rows for at, cell in enumerate(row) if cell.strip()}
    return len(rows) > 1 and len(columns) > 1 and filled >= FILLED * sum(map(len, rows))


def _replaced(lines: list[Line], rows: list[list[str]], bbox: tuple[float, ...], height: float) -> list[Line]:
    """The lines with those inside the box as one table, if the table has the same text as they have, and
    nothing else."""
    left, top, right, bottom = bbox[0] - MARGIN, height - bbox[1], bbox[2] + MARGIN, height - bbox[3] - MARGIN
    inside = [line for line in lines if left <= line.left <= right and bottom <= line.bottom <= top]
    written, found = _letters(line.text for line in inside), _letters(cell for row in rows for cell in row)
    if not inside or abs(written - found) > ALIKE * written:
        return lines
    at = lines.index(inside[0])
    table = Line(table_text(rows), 0.0, left, bottom, is_table=True)
    return [
        *(line for line in lines[:at] if line not in inside),
        table,
        *(one for one in lines[at:] if one not in inside),
    ]


def _letters(texts: Any) -> int:
    return sum(len("".join(text.split())) for text in texts)
