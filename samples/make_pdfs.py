"""Rebuild the PDF documents of the Brindle sample from their text sources.

Usage: python samples/make_pdfs.py        (needs the package fpdf2)
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from fpdf import FPDF

ROOT = Path(__file__).resolve().parent / "brindle"
SOURCES = ROOT / "pdf_sources"
TARGET = ROOT / "documents"
FIXED_DATE = datetime(2026, 1, 1, tzinfo=UTC)


class ManualPdf(FPDF):
    """An A5 manual with a running header and page numbers."""

    running_title = ""

    def header(self) -> None:
        self.set_font("Helvetica", size=8)
        self.cell(0, 6, f"Brindle Bikes - {self.running_title}", new_x="LMARGIN", new_y="NEXT")
        self.ln(3)

    def footer(self) -> None:
        self.set_y(-13)
        self.set_font("Helvetica", size=8)
        self.cell(0, 6, f"Page {self.page_no()}", align="C")


def write_block(pdf: ManualPdf, text: str, style: str, size: int, height: float) -> None:
    """Write one paragraph or heading across the page."""
    pdf.set_font("Helvetica", style=style, size=size)
    pdf.multi_cell(0, height, text, align="L", new_x="LMARGIN", new_y="NEXT")
    pdf.ln(2)


def build(source: Path, target: Path) -> None:
    """Turn one text source (h1, h2 and paragraphs) into a PDF."""
    blocks = [block.strip() for block in source.read_text(encoding="utf-8").split("\n\n")]
    pdf = ManualPdf(format=(148, 210))
    pdf.running_title = blocks[0].removeprefix("# ")
    pdf.set_title(pdf.running_title)
    pdf.set_author("Brindle Bikes Ltd")
    pdf.set_creation_date(FIXED_DATE)
    pdf.set_auto_page_break(True, margin=16)
    pdf.add_page()
    for block in blocks:
        if block.startswith("## "):
            if pdf.will_page_break(30):
                pdf.add_page()
            write_block(pdf, block.removeprefix("## "), "B", 12, 6.5)
        elif block.startswith("# "):
            write_block(pdf, block.removeprefix("# "), "B", 17, 9)
        else:
            write_block(pdf, " ".join(block.split()), "", 10, 5.2)
    pdf.output(str(target))


def main() -> None:
    """Rebuild every PDF."""
    for source in sorted(SOURCES.glob("*.md")):
        build(source, TARGET / f"{source.stem}.pdf")


if __name__ == "__main__":
    main()
