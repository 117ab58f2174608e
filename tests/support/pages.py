"""The repository's pages, cut into what can be checked: links, code spans, blocks of code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.places import ROOT

BLOCK = re.compile(r"^```(\w*)\n([\s\S]*?)^```$|((?:^ {4}.*\n)+)", re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """`spans` are code spans outside of blocks; `blocks` are pairs of language (empty for an indented one) and code."""

    path: Path
    text: str
    spans: tuple[str, ...]
    blocks: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    def links(self) -> Iterator[str]:
        """The targets of links, those to other hosts left out."""
        for target in re.findall(r"\]\(([^)\s]+)\)", self.text):
            if "://" not in target:
                yield target

    def anchors(self) -> set[str]:
        """What a link may name behind `#`, as GitHub makes it of a heading."""
        headings = re.findall(r"^#+ (.+)$", self.text, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def read_page(path: Path) -> Page:
    text = path.read_text(encoding="utf-8")
    blocks = tuple((language, code or indented) for language, code, indented in BLOCK.findall(text))
    spans = re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))
    return Page(path, text, tuple(spans), blocks)


def pages() -> list[Page]:
    """README, CHANGELOG, everything below docs, and the samples' page."""
    found = [
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "samples").rglob("*.md"),
    ]
    return [read_page(path) for path in sorted(found)]


def sources() -> list[Path]:
    """The code whose strings and comments name settings and commands too."""
    folders = ("services", "training", "retrieval", "samples", "harness", "benchmarks")
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
