"""PPTX: each visible slide is a page, with its title, its texts from top to bottom, its tables and its notes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pptx import Presentation
from pptx.enum.shapes import MSO_SHAPE_TYPE, PP_PLACEHOLDER

from retrieval.documents.formats.archive import open_archive, whole
from retrieval.documents.formats.assembler import Assembler
from retrieval.documents.formats.rows import table_text
from retrieval.errors import UnreadableFile

RUNNING = (PP_PLACEHOLDER.FOOTER, PP_PLACEHOLDER.DATE, PP_PLACEHOLDER.SLIDE_NUMBER, PP_PLACEHOLDER.HEADER)


def read_pptx(data: bytes, into: Assembler) -> str | None:
    """Read a presentation into `into`, with each block's slide; returns the title in its properties, else that of the
    first slide that has one.

    Raises UnreadableFile for a damaged, encrypted or oversized file and for too many slides, UnsupportedFormat for
    another kind.
    """
    archive = open_archive(data, into.filename, "PPTX", into.limits.max_unpacked_bytes)
    with whole(into.filename, "PPTX"):
        deck = Presentation(archive.fp)
        if len(deck.slides) > into.limits.max_pages:
            raise UnreadableFile(
                f"{into.filename} has {len(deck.slides)} slides; at most {into.limits.max_pages} are read. Split it "
                "into smaller files, or raise the setting max_pages."
            )
        for number, slide in enumerate(deck.slides, start=1):
            if slide.element.get("show") != "0":
                into.page = number
                _read_slide(slide, into)
        title = deck.core_properties.title
        return title if title and title != "PowerPoint Presentation" else into.first_heading


def _read_slide(slide: Any, into: Assembler) -> None:
    title = slide.shapes.title
    into.close(1)
    if title is not None:
        into.heading(1, title.text_frame.text)
    for shape in _flat(slide.shapes):
        if title is None or shape.shape_id != title.shape_id:
            _read_shape(shape, into)
    notes = slide.notes_slide.notes_text_frame if slide.has_notes_slide else None
    if notes is not None and notes.text.strip():
        into.block("Notes: " + _paragraphs(notes))


def _flat(shapes: Any) -> Iterator[Any]:
    """The shapes from top to bottom and left to right, those in groups in their group's place."""
    for shape in sorted(shapes, key=lambda shape: (shape.top or 0, shape.left or 0)):
        if shape.shape_type == MSO_SHAPE_TYPE.GROUP:
            yield from _flat(shape.shapes)
        else:
            yield shape


def _read_shape(shape: Any, into: Assembler) -> None:
    if shape.is_placeholder and shape.placeholder_format.type in RUNNING:
        return
    if getattr(shape, "has_table", False) and shape.has_table:
        into.block(table_text([[cell.text for cell in row.cells] for row in shape.table.rows]))
    elif shape.has_text_frame:
        into.block(_paragraphs(shape.text_frame))


def _paragraphs(frame: Any) -> str:
    return "\n".join(text for paragraph in frame.paragraphs if (text := " ".join(paragraph.text.split())))
