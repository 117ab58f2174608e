"""DOCX: headings by style or outline level, lists, tables, notes. Running headers and footers are left out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from docx import Document as open_docx
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.oxml import parse_xml
from docx.oxml.ns import qn

from retrieval.documents.formats.archive import open_archive, whole
from retrieval.documents.formats.assembler import Assembler
from retrieval.documents.formats.rows import table_text

HEADING_NAME = re.compile(r"heading (\d)", re.IGNORECASE)
LEVELS = 9
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"  # the same text for older programs
SHOWN_AS = {qn("w:tab"): "\t", qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:noBreakHyphen"): "-"}
LEFT_OUT = {qn("w:del"), qn("w:moveFrom"), FALLBACK, qn("w:pPr"), qn("w:rPr")}
NOTES = (RELATIONSHIP_TYPE.FOOTNOTES, RELATIONSHIP_TYPE.ENDNOTES)
Levels = Mapping[str, int]  # heading level by style id; level 1 is the title's


def read_docx(data: bytes, into: Assembler) -> str | None:
    """Read a Word document into `into`; returns its first heading, or None.

    Deleted text of tracked changes is left out, footnotes and endnotes are at the end. Raises UnreadableFile for a
    damaged, encrypted or oversized file, UnsupportedFormat for another kind.
    """
    archive = open_archive(data, into.filename, "DOCX", into.limits.max_unpacked_bytes)
    with whole(into.filename, "DOCX"):
        document = open_docx(archive.fp)
        _read(document.element.body, _levels(document), into)
        into.close(1)
        for note in _notes(document):
            into.block(note)
        return into.first_heading


def _read(body: Any, levels: Levels, into: Assembler) -> None:
    items: list[str] = []
    for element in _flow(body):
        level, is_item = _level(element, levels), _is_item(element)
        if not is_item:
            into.block("\n".join(items))
            items.clear()
        if element.tag == qn("w:tbl"):
            into.block(table_text(list(_rows(element))))
        elif level:
            into.heading(level, _text(element))
        elif is_item and _text(element).strip():
            items.append("- " + _text(element).strip())
        else:
            into.block(_text(element))
    into.block("\n".join(items))


def _flow(body: Any) -> Iterator[Any]:
    """The paragraphs and tables in order, including those in content controls."""
    for child in body.iterchildren(qn("w:p"), qn("w:tbl"), qn("w:sdt"), qn("w:sdtContent"), qn("w:ins")):
        if child.tag in (qn("w:p"), qn("w:tbl")):
            yield child
        else:
            yield from _flow(child)


def _levels(document: Any) -> dict[str, int]:
    """Heading levels by style; the title's is the outermost."""
    levels = {}
    for style in document.styles.element.style_lst:
        name = style.name_val or ""
        found, outline = HEADING_NAME.fullmatch(name), style.find(f"{qn('w:pPr')}/{qn('w:outlineLvl')}")
        if found:
            levels[style.styleId] = int(found[1]) + 1
        elif outline is not None and int(outline.get(qn("w:val"), LEVELS)) < LEVELS:
            levels[style.styleId] = int(outline.get(qn("w:val"))) + 2
        elif name.lower() == "title":
            levels[style.styleId] = 1
    return levels


def _level(paragraph: Any, levels: Levels) -> int | None:
    outline = paragraph.find(f"{qn('w:pPr')}/{qn('w:outlineLvl')}")
    if outline is not None and int(outline.get(qn("w:val"), LEVELS)) < LEVELS:
        return int(outline.get(qn("w:val"))) + 2
    style = paragraph.find(f"{qn('w:pPr')}/{qn('w:pStyle')}")
    return levels.get(style.get(qn("w:val"))) if style is not None else None


def _is_item(paragraph: Any) -> bool:
    style = paragraph.find(f"{qn('w:pPr')}/{qn('w:pStyle')}")
    named = style is not None and str(style.get(qn("w:val"))).startswith("List")
    return named or paragraph.find(f"{qn('w:pPr')}/{qn('w:numPr')}") is not None


def _text(element: Any) -> str:
    """The visible text of a paragraph."""
    return "".join(_runs(element))


def _runs(element: Any) -> Iterator[str]:
    for child in element.iterchildren():
        if child.tag == qn("w:t"):
            yield child.text or ""
        elif child.tag in SHOWN_AS:
            yield SHOWN_AS[child.tag]
        elif child.tag == qn("w:txbxContent"):
            yield "\n" + "\n".join(_text(paragraph) for paragraph in child.iter(qn("w:p"))) + "\n"
        elif isinstance(child.tag, str) and child.tag not in LEFT_OUT:
            yield from _runs(child)


def _rows(table: Any) -> Iterator[list[str]]:
    """The table's rows; a cell's paragraphs and inner tables are one text."""
    for row in table.iter(qn("w:tr")):
        if next(row.iterancestors(qn("w:tbl"))) is table:
            yield [" ".join(_text(one) for one in cell.iter(qn("w:p"))) for cell in _cells(row)]


def _cells(row: Any) -> Iterator[Any]:
    for child in row.iterchildren(qn("w:tc"), qn("w:sdt"), qn("w:sdtContent")):
        if child.tag == qn("w:tc"):
            yield child
        else:
            yield from _cells(child)


def _notes(document: Any) -> Iterator[str]:
    for relation in document.part.rels.values():
        if relation.reltype in NOTES:
            for note in parse_xml(relation.target_part.blob).iterchildren():
                if note.get(qn("w:type")) is None:  # separators have a type
                    yield "Note: " + " ".join(_text(one) for one in note.iter(qn("w:p"))).strip()
