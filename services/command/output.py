"""What a command prints: for a person on standard output, or one JSON value and nothing else."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

PIPE_WIDTH = 240
LINE_EVERY_S = 2.0


class Bar(Protocol):
    """A progress bar for long work, from 0 to 1."""

    def show(self, fraction: float, text: str) -> None: ...


class Output:
    """Results go to standard output. Progress and remarks go to standard error; with `--json` they are not written."""

    def __init__(self, as_json: bool, out: Console | None = None, err: Console | None = None) -> None:
        self.as_json = as_json
        self.out = out or _console(sys.stdout)
        self.err = err or _console(sys.stderr)

    def result(self, value: Any, words: str | Table | None = None) -> None:
        """The command's outcome: `value` as JSON, or `words` for a person."""
        if self.as_json:
            self.out.file.write(json.dumps(value, ensure_ascii=False) + "\n")
            self.out.file.flush()
        elif words is not None:
            self.out.print(words if isinstance(words, Table) else escape(words))

    def write(self, text: str) -> None:
        """A piece of a streamed answer, as it comes."""
        self.out.file.write(text)
        self.out.file.flush()

    def remark(self, text: str) -> None:
        if not self.as_json:
            self.err.print(escape(text))

    @contextmanager
    def bar(self, title: str) -> Iterator[Bar]:
        """A progress bar on a terminal; elsewhere lines, at most one every 2 s; with `--json` nothing."""
        if self.as_json or not self.err.is_terminal:
            yield _Lines(self, title)
            return
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
        with Progress(*columns, TimeElapsedColumn(), console=self.err) as progress:
            yield _TerminalBar(progress, title)


def _console(file: TextIO) -> Console:
    """As wide as the terminal; for a pipe, lines are not cut at 80 characters."""
    return Console(file=file, soft_wrap=True, highlight=False, width=None if file.isatty() else PIPE_WIDTH)


class _Lines:
    def __init__(self, output: Output, title: str) -> None:
        self._output, self._title, self._last, self._next_at = output, title, "", 0.0

    def show(self, fraction: float, text: str) -> None:
        if text != self._last and (fraction >= 1 or time.monotonic() >= self._next_at):
            self._last, self._next_at = text, time.monotonic() + LINE_EVERY_S
            self._output.remark(f"{self._title}: {text} ({fraction:.0%})")


class _TerminalBar:
    def __init__(self, progress: Progress, title: str) -> None:
        self._progress, self._title = progress, title
        self._task = progress.add_task(escape(title), total=1.0)

    def show(self, fraction: float, text: str) -> None:
        self._progress.update(self._task, completed=fraction, description=escape(f"{self._title}: {text}"))


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A plain table; `None` is a hyphen."""
    made = Table(box=None, pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*("-" if cell is None else escape(str(cell)) for cell in row))
    return made


def seconds(value: float | None) -> str:
    """A duration in a readable form: 8 s, 3 min 05 s, 2 h 10 min."""
    if value is None:
        return "-"
    whole = int(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
