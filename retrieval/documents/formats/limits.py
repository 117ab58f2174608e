"""How much of one file is read. A larger file is refused: half a document would answer half the questions."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """`max_unpacked_bytes` limits the unpacked size that a zipped format (DOCX, PPTX, XLSX, EPUB) states."""

    max_pages: int = 2000
    max_characters: int = 10_000_000
    max_unpacked_bytes: int = 256 * MIB
