"""Figures that tests measure, printed when all of them have run."""

from __future__ import annotations

FIGURES: list[str] = []


def note(figure: str) -> None:
    """Keep a measured figure for the end of the run."""
    FIGURES.append(figure)
