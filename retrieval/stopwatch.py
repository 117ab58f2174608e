"""How long each stage of something takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter


class Stopwatch:
    """Milliseconds by stage; a stage that runs again adds up."""

    def __init__(self) -> None:
        self.spent_ms: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = perf_counter()
        try:
            yield
        finally:
            self.add({name: 1000 * (perf_counter() - started)})

    def add(self, spent_ms: Mapping[str, float]) -> None:
        for name, spent in spent_ms.items():
            self.spent_ms[name] = self.spent_ms.get(name, 0.0) + spent
