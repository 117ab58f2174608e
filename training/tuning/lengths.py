"""Rows too long for `max_length` in the form in which they are trained: the serving prompt with its passages, and the
answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from training.answer_tokens import row_length
from training.errors import InvalidDataset
from training.model import TrainingRow

SHOWN_LINES = 20


@dataclass(frozen=True)
class RowLengths:
    """Lengths of `rows` rows in tokens: the `longest`, and which exceed `max_length` and are left out.

    `lines` are the lines of the training file whose conversation lost a row (one may give several, with passages and
    without). `left_out` counts rows, `general` those of them that belong to no line of the file.
    """

    rows: int
    max_length: int
    longest: int
    left_out: int
    general: int
    lines: tuple[int, ...]

    def figures(self) -> dict[str, Any]:
        """Plain values. Every line is included."""
        return {
            "rows": self.rows,
            "max_length": self.max_length,
            "longest": self.longest,
            "left_out": self.left_out,
            "left_out_general": self.general,
            "left_out_lines": list(self.lines),
        }

    @property
    def summary(self) -> str:
        if not self.left_out:
            return f"All {self.rows} rows fit max_length ({self.max_length} tokens); the longest has {self.longest}."
        lines = ", ".join(map(str, self.lines[:SHOWN_LINES])) + (" and more" if len(self.lines) > SHOWN_LINES else "")
        of_file = f" They are of lines {lines} of the training file." if self.lines else ""
        general = f" {self.general} are general conversations." if self.general else ""
        return (
            f"{self.left_out} of {self.rows} rows are left out: with their passages they exceed max_length "
            f"({self.max_length} tokens); the longest has {self.longest}.{of_file}{general} Raise max_length in "
            "[training], lower top_k, or shorten them."
        )


def measure(rows: Sequence[TrainingRow], tokenizer: Any, max_length: int) -> RowLengths:
    """Raises InvalidDataset if no row fits."""
    counts = [row_length(row, tokenizer) for row in rows]
    too_long = [row for row, count in zip(rows, counts, strict=True) if count > max_length]
    if len(too_long) == len(rows):
        raise InvalidDataset(
            f"No training row fits max_length ({max_length} tokens): the shortest of {len(rows)}, with its passages, "
            f"has {min(counts, default=0)}. Raise max_length in [training], lower top_k, or shorten the examples."
        )
    lines = tuple(sorted({row.line for row in too_long if row.line}))
    general = sum(not row.line for row in too_long)
    return RowLengths(len(rows), max_length, max(counts), len(too_long), general, lines)
