"""Stores what a run trains on in its work folder, so that a later attempt trains on exactly the same rows.

By then live retrieval may find other passages, and the uploaded file may be gone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from retrieval.model import Message
from training.data.sides import Sides
from training.model import TrainingRow
from training.prompts.rows import RowsReport
from training.writing import keep

TRAINED, HELD_OUT, REPORT, SIDES = "trained.jsonl", "held-out.jsonl", "rows.json", "sides.json"


def write_rows(
    folder: Path, trained: Iterable[TrainingRow], held_out: Iterable[TrainingRow], report: RowsReport
) -> None:
    keep(folder / TRAINED, b"".join(_lines(trained)))
    keep(folder / HELD_OUT, b"".join(_lines(held_out)))
    keep(folder / REPORT, json.dumps(asdict(report)).encode())


def write_sides(folder: Path, sides: Sides) -> None:
    keep(folder / SIDES, json.dumps(asdict(sides)).encode())


def read_sides(folder: Path) -> Sides | None:
    """The sides that an earlier attempt of the run used; None if there was none."""
    path = folder / SIDES
    return Sides.of(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def has_rows(folder: Path) -> bool:
    return (folder / REPORT).is_file()


def read_rows(folder: Path) -> tuple[tuple[TrainingRow, ...], tuple[TrainingRow, ...], RowsReport]:
    """Training rows, held-out rows and their report, as they were passed to `write_rows`."""
    report = RowsReport(**json.loads((folder / REPORT).read_text(encoding="utf-8")))
    return _rows(folder / TRAINED), _rows(folder / HELD_OUT), report


def _lines(rows: Iterable[TrainingRow]) -> Iterator[bytes]:
    return (json.dumps(asdict(row), ensure_ascii=False).encode() + b"\n" for row in rows)


def _rows(path: Path) -> tuple[TrainingRow, ...]:
    with path.open(encoding="utf-8") as file:
        return tuple(_row(json.loads(line)) for line in file)


def _row(row: dict[str, Any]) -> TrainingRow:
    """Rows that were stored before rows had a `line` have none."""
    messages = tuple(Message(**message) for message in row["prompt"])
    told = row["completion"], row["kind"], tuple(row["file_ids"]), row["rejected"], row.get("line", 0)
    return TrainingRow(messages, *told)
