"""Tables and records as text. Each row can be understood alone, so that a chunk of rows needs no header."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from statistics import median

from retrieval.documents.formats.assembler import Assembler
from retrieval.documents.formats.markdown import read_markdown

CELL_SEPARATOR = " | "
LONG_CELL = 300  # characters; a longer value, or one of several lines, is a text of its own
LONGEST_NAME = 80  # a column's name is no sentence
LONG_TABLE = 12  # rows; a table that is longer is cut over several chunks, where its header would be lost
HEADER_WITHIN = 10  # rows at a table's top among which its header is looked for: titles and notes may precede it
TITLE_NAMES = ("title", "name", "subject", "question", "heading", "topic", "label")
NUMBER = re.compile(r"[-+(]?[\d.,:/\s%€$£-]*\d[\d.,:/\s%€$£)-]*")
YEAR = re.compile(r"(?:19|20)\d\d")
Row = Sequence[str]
Field = tuple[str, str]


def add_sheet(rows: Iterator[Row], level: int, into: Assembler) -> None:
    """Add a sheet's rows below its header; text above the header is plain text.

    If the top rows have no header, cells are side by side, without names. `level` is that of headings that long cells
    need.
    """
    top = list(islice(rows, HEADER_WITHIN))
    at = find_header(top)
    for row in top[:at]:
        into.block(plain_row(row))
    if at is None:
        for row in rows:
            into.block(plain_row(row))
        return
    names = [" ".join(name.split()) for name in top[at]]
    for row in chain(top[at + 1 :], rows):
        add_record(_named(names, row), level, into)


def add_record(fields: Sequence[Field], level: int, into: Assembler) -> None:
    """Add a row as one line, `name: value; name: value`; a record with long texts becomes a section with its title."""
    filled = [(name, value.strip()) for name, value in fields if value.strip()]
    long = [(name, value) for name, value in filled if len(value) > LONG_CELL or "\n" in value]
    short = [field for field in filled if field not in long]
    if not long:
        into.block(record_line(short))
        return
    into.heading(level, _title(short) or long[0][0])
    into.block(record_line(short))
    depth = into.depth
    for name, value in long:
        into.depth = depth + level
        if len(long) > 1:
            into.heading(1, name)
            into.depth += 1
        read_markdown(value, into)
    into.depth = depth
    into.close(level)


def table_text(rows: Sequence[Row]) -> str:
    """A table within a document: one line per row. Only a long table with a header repeats the names in each row."""
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    at = find_header(rows[:1])
    if at is None or len(rows) <= LONG_TABLE:
        return "\n".join(map(plain_row, rows))
    return "\n".join(record_line(_named(rows[0], row)) for row in rows[1:])


def plain_row(row: Row) -> str:
    return CELL_SEPARATOR.join(" ".join(cell.split()) for cell in row).strip(" |") if any(map(str.strip, row)) else ""


def record_line(fields: Sequence[Field]) -> str:
    flat = ((name, " ".join(value.split())) for name, value in fields)
    return "; ".join(f"{name}: {value}" if name else value for name, value in flat if value)


def find_header(rows: Sequence[Row]) -> int | None:
    """The row that names the columns: the first that is as full as most and has distinct, short names, no numbers."""
    widths = [sum(bool(cell.strip()) for cell in row) for row in rows]
    usual = median(widths) if widths else 0
    for at, (row, width) in enumerate(zip(rows, widths, strict=True)):
        if width >= max(2, 0.8 * usual):
            return at if _names_columns(row) else None
    return None


def _names_columns(row: Row) -> bool:
    names = [cell.strip() for cell in row if cell.strip()]
    distinct = len(set(names)) == len(names)
    return distinct and all(
        len(name) <= LONGEST_NAME and (YEAR.fullmatch(name) or not NUMBER.fullmatch(name)) for name in names
    )


def _named(names: Sequence[str], row: Row) -> list[Field]:
    return [(names[at] if at < len(names) else "", value) for at, value in enumerate(row)]


def _title(fields: Sequence[Field]) -> str | None:
    by_name = {name.lower(): value for name, value in fields}
    return next((by_name[name] for name in TITLE_NAMES if name in by_name), fields[0][1] if fields else None)
