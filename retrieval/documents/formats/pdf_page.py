"""A PDF page's lines of text, and the rules drawn on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

THIN = 2.0  # points; a filled rectangle no thicker than this is a rule
CELL = 8.0  # points; the least height and width of a cell
LEAST = 3  # rules of each direction around two rows and two columns
MOST = 5000  # rules on a page; with more it is a drawing
Matrix = Sequence[float]


@dataclass(frozen=True)
class Line:
    """A line as written: its type size, and where it begins on the page, in points from the page's lower left corner.

    A table takes the place of its lines as one Line with several rows.
    """

    text: str
    size: float
    left: float
    bottom: float
    is_table: bool = False


@dataclass
class Rules:
    """The straight lines on a page: heights of the horizontal ones; place, lower and upper end of the vertical ones."""

    level: set[int] = field(default_factory=set)
    upright: set[tuple[int, int, int]] = field(default_factory=set)
    _from: tuple[float, float] = (0.0, 0.0)

    def see(self, operator: Any, operands: Any, matrix: Matrix, _text_matrix: Matrix) -> None:
        """Record one drawing operator; pypdf calls this for each operator on the page."""
        if operator == b"re":
            x, y, width, height = map(float, operands)
            self._add(matrix, (x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y))
        elif operator == b"m":
            self._from = float(operands[0]), float(operands[1])
        elif operator == b"l":
            to = float(operands[0]), float(operands[1])
            self._add(matrix, self._from, to)
            self._from = to

    def form_grid(self) -> bool:
        """Whether at several heights a horizontal rule meets several vertical ones."""
        if not (LEAST <= len(self.level) <= MOST and LEAST <= len(self.upright) <= MOST):
            return False
        crossed = {
            y
            for y in self.level
            if _apart({x for x, low, high in self.upright if low - THIN <= y <= high + THIN}) >= LEAST
        }
        return _apart(crossed) >= LEAST

    def _add(self, matrix: Matrix, *corners: tuple[float, float]) -> None:
        a, b, c, d, e, f = matrix
        points = [(a * x + c * y + e, b * x + d * y + f) for x, y in corners]
        for (x1, y1), (x2, y2) in pairwise(points):
            if abs(y1 - y2) <= THIN and abs(x1 - x2) > THIN:
                self.level.add(round(y1))
            elif abs(x1 - x2) <= THIN and abs(y1 - y2) > THIN:
                self.upright.add((round(x1), round(min(y1, y2)), round(max(y1, y2))))


def _apart(places: set[int]) -> int:
    """How many of the places are a cell's width apart: a frame is often drawn as two or three rules side by side."""
    ordered = sorted(places)
    return bool(ordered) + sum(right - left >= CELL for left, right in pairwise(ordered))


def read_page(page: Any) -> tuple[list[Line], Rules]:
    """The lines from top to bottom as written, and the rules. `page` is pypdf's."""
    runs: list[tuple[str, float, float, float]] = []
    rules = Rules()

    def collect(text: str, matrix: Matrix, text_matrix: Matrix, _font: Any, size: float) -> None:
        scale = abs(text_matrix[3] * matrix[3]) or 1.0
        left = text_matrix[4] * (matrix[0] or 1.0) + matrix[4]
        runs.append((text, round(size * scale, 1), left, text_matrix[5] * (matrix[3] or 1.0) + matrix[5]))

    page.extract_text(visitor_text=collect, visitor_operand_before=rules.see)
    return list(_lines(runs)), rules


def _lines(runs: list[tuple[str, float, float, float]]) -> Iterator[Line]:
    text, size, left, bottom = "", 0.0, 0.0, 0.0
    for run, run_size, run_left, run_bottom in runs:
        for number, piece in enumerate(run.split("\n")):
            if number:
                if text.strip():
                    yield Line(" ".join(text.split()), size, left, bottom)
                text, size = "", 0.0
            if piece.strip():
                left = left if text.strip() else run_left
                size, bottom = max(size, run_size), run_bottom
            text += piece
    if text.strip():
        yield Line(" ".join(text.split()), size, left, bottom)
