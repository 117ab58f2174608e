"""CSV, with any of the usual separators: each row a line of its own, with its column names."""

from __future__ import annotations

import csv
from io import StringIO
from itertools import islice

from retrieval.documents.formats.assembler import Assembler
from retrieval.documents.formats.rows import add_sheet
from retrieval.errors import UnreadableFile

SEPARATORS = (",", ";", "\t", "|")
LOOKED_AT = 20  # rows


def read_csv(text: str, into: Assembler) -> None:
    """Read CSV into `into`. The separator is the one that cuts the first rows into most columns.

    Raises UnreadableFile if the rows cannot be separated.
    """
    csv.field_size_limit(into.limits.max_characters)
    lines = list(StringIO(text, newline=""))  # splitlines() would also cut a cell at U+2028
    try:
        separator = max(SEPARATORS, key=lambda one: _columns(lines, one))
        add_sheet(csv.reader(lines, delimiter=separator, skipinitialspace=True), 1, into)
    except csv.Error as error:
        raise UnreadableFile(f"{into.filename} cannot be read as CSV ({error}).") from error


def _columns(lines: list[str], separator: str) -> int:
    """The least number of columns that the first rows have in common."""
    rows = islice(csv.reader(lines, delimiter=separator, skipinitialspace=True), LOOKED_AT)
    return min((len(row) for row in rows if row), default=0)
