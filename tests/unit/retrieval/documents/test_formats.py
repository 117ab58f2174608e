"""Formats that office programs, mail programs and programs write."""

from __future__ import annotations

import json
from collections.abc import Callable
from email.message import EmailMessage
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile

import docx
import openpyxl
import pptx
import pytest
from docx.oxml import OxmlElement
from fpdf import FPDF
from pptx.util import Inches

from retrieval.documents.formats.limits import MIB, Limits
from retrieval.documents.loading import load
from retrieval.errors import UnreadableFile, UnsupportedFormat
from retrieval.model import Document
from tests.unit.retrieval.documents.test_loading import texts

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
TABLE = [["Model", "Price"], ["City", "1 200"], ["Hill", "1 450"]]


def saved(document: object) -> bytes:
    out = BytesIO()
    document.save(out)  # type: ignore[attr-defined]
    return out.getvalue()


def word() -> bytes:
    made = docx.Document()
    made.add_heading("Bicycle leasing", 0)
    made.add_paragraph("Staff may lease a bicycle.")
    made.add_heading("Prices", 1)
    made.add_paragraph("City bikes", style="List Bullet")
    made.add_paragraph("Hill bikes", style="List Bullet")
    table = made.add_table(rows=3, cols=2)
    for row, cells in zip(table.rows, TABLE, strict=True):
        for cell, text in zip(row.cells, cells, strict=True):
            cell.text = text
    deleted = OxmlElement("w:del")
    paragraph = made.add_paragraph("Tax is included.")
    deleted.append(paragraph.add_run("An old sentence.")._r)
    paragraph._p.append(deleted)
    return saved(made)


def slides() -> bytes:
    made = pptx.Presentation()
    first = made.slides.add_slide(made.slide_layouts[1])
    first.shapes.title.text = "Opening hours"
    first.placeholders[1].text = "Monday to Friday\nNine to five"
    first.notes_slide.notes_text_frame.text = "Mention the holidays."
    second = made.slides.add_slide(made.slide_layouts[5])
    second.shapes.title.text = "Prices"
    table = second.shapes.add_table(3, 2, Inches(1), Inches(2), Inches(4), Inches(2)).table
    for at, cells in enumerate(TABLE):
        for column, text in enumerate(cells):
            table.cell(at, column).text = text
    return saved(made)


def workbook(*sheets: tuple[str, list[list[object]]], hidden: str = "") -> bytes:
    made = openpyxl.Workbook()
    made.remove(made.active)
    for name, rows in sheets:
        sheet = made.create_sheet(name)
        for row in rows:
            sheet.append(row)
        if name == hidden:
            sheet.sheet_state = "hidden"
    return saved(made)


def archive(members: dict[str, bytes]) -> bytes:
    out = BytesIO()
    with ZipFile(out, "w", ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return out.getvalue()


def book(**more: bytes) -> bytes:
    chapter = "<html xmlns='http://www.w3.org/1999/xhtml'><head><title/></head><body><h1>{}</h1><p>{}</p></body></html>"
    package = """<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
      <dc:title>The long ride</dc:title></metadata><manifest>
      <item id="b" href="text/b.xhtml" media-type="application/xhtml+xml"/>
      <item id="a" href="text/a%201.xhtml" media-type="application/xhtml+xml"/>
      <item id="n" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/></manifest>
      <spine><itemref idref="n"/><itemref idref="a"/><itemref idref="b"/></spine></package>"""
    container = """<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>
      <rootfile full-path="OEBPS/book.opf"/></rootfiles></container>"""
    members = {
        "mimetype": b"application/epub+zip",
        "META-INF/container.xml": container.encode(),
        "OEBPS/book.opf": package.encode(),
        "OEBPS/text/b.xhtml": chapter.format("Arrival", "Here at last.").encode(),
        "OEBPS/text/a 1.xhtml": chapter.format("Departure", "Off we go.").encode(),
        "OEBPS/nav.xhtml": chapter.format("Contents", "Departure, Arrival").encode(),
    }
    return archive({**members, **{name.replace("__", "/"): data for name, data in more.items()}})


def mail(text: str = "The bike is ready.", html: str = "") -> bytes:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = "Your Größe bike", "Ann <ann@example.org>", "bob@example.org"
    message["Date"] = "Mon, 02 Nov 2026 09:30:00 +0100"
    if text:
        message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    message.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename="bill.pdf")
    return message.as_bytes()


def headed(document: Document) -> list[tuple[tuple[str, ...], str]]:
    return list(zip((block.headings for block in document.blocks), texts(document), strict=True))


class TestDocx:
    def test_headings_lists_and_tables_are_kept_and_deleted_text_is_not(self) -> None:
        document = load(word(), "leasing.docx")
        assert document.title == "Bicycle leasing"
        assert headed(document) == [
            (("Bicycle leasing",), "Staff may lease a bicycle."),
            (("Bicycle leasing", "Prices"), "- City bikes\n- Hill bikes"),
            (("Bicycle leasing", "Prices"), "Model | Price\nCity | 1 200\nHill | 1 450"),
            (("Bicycle leasing", "Prices"), "Tax is included."),
        ]

    def test_a_long_table_names_its_columns_in_each_row(self) -> None:
        made = docx.Document()
        table = made.add_table(rows=40, cols=2)
        for number, row in enumerate(table.rows):
            row.cells[0].text, row.cells[1].text = (
                ("Part", "Stock") if number == 0 else (f"P{number}", f"{number} left")
            )
        lines = texts(load(saved(made), "a.docx"))[0].split("\n")
        assert (len(lines), lines[-1]) == (39, "Part: P39; Stock: 39 left")


class TestPptx:
    def test_a_slide_is_a_page_with_its_title_and_notes(self) -> None:
        document = load(slides(), "talk.pptx")
        assert document.title == "Opening hours"
        assert [(block.page, block.headings) for block in document.blocks] == [
            (1, ("Opening hours",)), (1, ("Opening hours",)), (2, ("Prices",)),
        ]  # fmt: skip
        assert texts(document) == [
            "Monday to Friday\nNine to five",
            "Notes: Mention the holidays.",
            "Model | Price\nCity | 1 200\nHill | 1 450",
        ]

    def test_too_many_slides_are_refused(self) -> None:
        with pytest.raises(UnreadableFile, match="2 slides; at most 1"):
            load(slides(), "talk.pptx", limits=Limits(max_pages=1))


class TestXlsx:
    def test_each_row_names_its_columns_under_its_sheet(self) -> None:
        data = workbook(
            (
                "Bikes",
                [["Stock of the shop"], [], ["Model", "Price", "Left"], ["City", 1200.5, 3], ["Hill", 1450, None]],
            ),
            ("Secret", [["a", "b"], ["x", "y"]]),
            hidden="Secret",
        )
        assert headed(load(data, "stock.xlsx")) == [
            (("Bikes",), "Stock of the shop"),
            (("Bikes",), "Model: City; Price: 1200.5; Left: 3"),
            (("Bikes",), "Model: Hill; Price: 1450"),
        ]

    def test_a_sheet_without_a_header_keeps_its_cells_side_by_side(self) -> None:
        assert texts(load(workbook(("S", [["City", 1200], ["Hill", 1450]])), "a.xlsx")) == [
            "City | 1200",
            "Hill | 1450",
        ]

    def test_more_text_than_the_limit_is_refused_and_never_cut(self) -> None:
        data = workbook(("S", [["Name", "Value"], *([f"name {n}", n] for n in range(200))]))
        with pytest.raises(UnreadableFile, match=r"more than 1,000 characters.*max_characters"):
            load(data, "long.xlsx", limits=Limits(max_characters=1000))


class TestCsv:
    @pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
    def test_each_row_names_its_columns_whatever_the_separator(self, separator: str) -> None:
        rows = [["Model", "Price", "Note"], ["City", "1200", '"light, quick"'], ["Hill", "1450", ""]]
        data = "\n".join(separator.join(row) for row in rows).encode()
        assert texts(load(data, "a.csv")) == [
            "Model: City; Price: 1200; Note: light, quick",
            "Model: Hill; Price: 1450",
        ]

    def test_a_row_with_a_long_text_becomes_a_section_with_its_title(self) -> None:
        text = "# Lamps\n\n## Repair\n\nUse two screws."
        document = load(f'id,title,text\n7,Lamps,"{text}"\n8,Bells,Ring.\n'.encode(), "all.csv")
        assert headed(document) == [
            (("Lamps",), "id: 7; title: Lamps"),
            (("Lamps", "Repair"), "Use two screws."),
            ((), "id: 8; title: Bells; text: Ring."),
        ]

    def test_a_row_ends_at_the_end_of_its_line_and_at_no_other_separator(self) -> None:
        assert texts(load("Model,Note\r\nCity,light\u2028and\x0bquick\r\n".encode(), "a.csv")) == [
            "Model: City; Note: light and quick"
        ]

    def test_ragged_rows_keep_all_their_cells(self) -> None:
        assert texts(load(b"a,b\n1,2,3\n4\n", "a.csv")) == ["a: 1; b: 2; 3", "a: 4"]

    def test_another_character_set_is_refused_with_the_place(self) -> None:
        with pytest.raises(UnreadableFile, match=r"a\.csv is not valid UTF-8.*line 2"):
            load("name,town\nJosé,Köln\n".encode("latin-1"), "a.csv")


class TestEpub:
    def test_chapters_are_read_in_the_order_of_the_spine(self) -> None:
        document = load(book(), "ride.epub")
        assert document.title == "The long ride"
        assert headed(document) == [(("Departure",), "Off we go."), (("Arrival",), "Here at last.")]

    def test_copy_protection_is_named(self) -> None:
        protected = b'<e><EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#aes256-cbc"/></e>'
        with pytest.raises(UnreadableFile, match="copy-protected"):
            load(book(**{"META-INF__encryption.xml": protected}), "ride.epub")


class TestEmail:
    def test_subject_sender_date_and_text_are_kept_and_attachments_named(self) -> None:
        document = load(mail(html="<p>The <b>bike</b> is ready.</p>"), "a.eml")
        assert document.title == "Your Größe bike"
        assert texts(document) == [
            "From: Ann <ann@example.org>\nTo: bob@example.org\nDate: 2026-11-02 09:30+01:00\nAttachments: bill.pdf",
            "The bike is ready.",
        ]
        assert {block.headings for block in document.blocks} == {("Your Größe bike",)}

    def test_without_a_text_part_the_html_is_read(self) -> None:
        assert texts(load(mail("", "<h2>Offer</h2><p>Half price.</p>"), "a.eml"))[-1] == "Half price."

    def test_a_text_without_headers_is_no_email(self) -> None:
        with pytest.raises(UnreadableFile, match="not an e-mail"):
            load(b"Dear all,\n\nthe bike is ready.", "a.eml")

    def test_malformed_parts_end_in_a_document_or_a_clear_error(self) -> None:
        data = (
            b'Subject: x\nContent-Type: multipart/mixed; boundary="b"\n\n--b\nContent-Type: text/plain; charset=klingon'
        )
        with pytest.raises(UnreadableFile, match=r"a\.eml"):
            load(data + b"\n\nHello \xe9\n", "a.eml")


class TestJson:
    def test_values_keep_their_paths(self) -> None:
        value = {
            "name": "Brindle",
            "address": {"city": "Köln", "geo": {"lat": 50.90}},
            "days": ["Mon", "Tue"],
            "bikes": [{"model": "City", "price": 1200.50}, {"model": "Hill", "light": None, "new": True}],
        }
        assert headed(load(json.dumps(value).encode(), "shop.json")) == [
            ((), "name: Brindle; days: Mon, Tue"),
            (("address",), "city: Köln"),
            (("address", "geo"), "lat: 50.9"),
            (("bikes",), "model: City; price: 1200.5"),
            (("bikes",), "model: Hill; new: yes"),
        ]

    def test_records_with_a_text_become_sections(self) -> None:
        records = [{"title": "Lamps", "url": "https://example.org", "text": "First line.\n\n## Repair\n\nTwo screws."}]
        expected = [
            (("Lamps",), "title: Lamps; url: https://example.org"),
            (("Lamps",), "First line."),
            (("Lamps", "Repair"), "Two screws."),
        ]
        assert headed(load(json.dumps(records).encode(), "a.json")) == expected
        assert headed(load("\n".join(map(json.dumps, records)).encode(), "a.jsonl")) == expected

    def test_half_a_surrogate_pair_is_replaced_since_nothing_can_store_it(self) -> None:
        assert texts(load(b'{"a": "x\\ud800y"}', "a.json")) == ["a: x\ufffdy"]

    @pytest.mark.parametrize(
        ("name", "data", "reason"),
        [
            ("a.json", b'{"a": 1,\n "b": }', "line 2"),
            ("a.jsonl", b'{"a": 1}\n{"b": ', "line 2"),
            ("a.json", b"[" * 100_000, "nested too deeply"),
        ],
    )
    def test_what_is_no_json_is_refused_with_the_place(self, name: str, data: bytes, reason: str) -> None:
        with pytest.raises(UnreadableFile, match=reason):
            load(data, name)


class TestPdfTables:
    def test_a_ruled_table_is_read_row_by_row_in_its_place(self) -> None:
        pdf = FPDF()
        pdf.add_page()
        pdf.set_font("Helvetica", size=11)
        pdf.multi_cell(0, 8, "Our prices, tax included:", new_x="LMARGIN", new_y="NEXT")
        with pdf.table() as table:
            for cells in [["Model", "Wheels and tyres", "Price"], ["City", "28 inch", "1 200"], ["Hill", "", "1 450"]]:
                row = table.row()
                for text in cells:
                    row.cell(text)
        pdf.multi_cell(0, 8, "Ask for more.", new_x="LMARGIN", new_y="NEXT")
        document = load(bytes(pdf.output()), "prices.pdf")
        assert texts(document) == [
            "Our prices, tax included:",
            "Model | Wheels and tyres | Price\nCity | 28 inch | 1 200\nHill |  | 1 450",
            "Ask for more.",
        ]
        assert {block.page for block in document.blocks} == {1}


class TestBadArchives:
    @pytest.mark.parametrize(("name", "make"), [("a.docx", word), ("a.pptx", slides), ("a.epub", book)])
    @pytest.mark.parametrize("cut", [0.1, 0.5, 0.95])
    def test_a_file_cut_short_is_refused_in_words(self, name: str, make: Callable[[], bytes], cut: float) -> None:
        data = make()
        with pytest.raises(UnreadableFile, match="damaged"):
            load(data[: int(cut * len(data))], name)

    @pytest.mark.parametrize("name", ["a.docx", "a.pptx", "a.xlsx"])
    def test_an_encrypted_office_file_is_refused_in_words(self, name: str) -> None:
        with pytest.raises(UnreadableFile, match="encrypted; remove its password"):
            load(OLE + "EncryptedPackage".encode("utf-16-le"), name)

    def test_an_office_file_of_before_2007_is_refused_with_advice(self) -> None:
        with pytest.raises(UnsupportedFormat, match=r"old Office document\. Save it as DOCX"):
            load(OLE, "a.docx")

    @pytest.mark.parametrize(
        ("name", "data", "holds"),
        [("a.xlsx", word(), "a Word document"), ("a.docx", book(), "a book"), ("a.pptx", b"text", "does not hold one"),
         ("a.epub", archive({"x.txt": b"x"}), "another kind of archive"), ("a.csv", word(), "ZIP")],
    )  # fmt: skip
    def test_content_that_does_not_fit_the_name_is_refused(self, name: str, data: bytes, holds: str) -> None:
        with pytest.raises(UnsupportedFormat, match=holds):
            load(data, name)

    def test_a_file_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(self) -> None:
        bomb = archive({"word/document.xml": bytes(3 * MIB), "[Content_Types].xml": b"<Types/>"})
        assert len(bomb) < MIB / 100
        with pytest.raises(UnreadableFile, match=r"unpacks to 3 MiB; at most 2 MiB.*max_unpacked_bytes"):
            load(bomb, "bomb.docx", limits=Limits(max_unpacked_bytes=2 * MIB))

    @pytest.mark.parametrize(("name", "part"), [("a.docx", "word/document.xml"), ("a.epub", "META-INF/container.xml")])
    def test_xml_that_defines_entities_is_refused(self, name: str, part: str) -> None:
        laughs = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'
        with pytest.raises(UnreadableFile, match="defines XML entities"):
            load(archive({part: laughs}), name)

    @pytest.mark.parametrize(
        ("name", "data"),
        [("a.docx", saved(docx.Document())), ("a.pptx", saved(pptx.Presentation())), ("a.csv", b",,\n,,\n"),
         ("a.json", b"{}"), ("a.jsonl", b"[]\n{}"), ("a.xlsx", workbook(("S", [[None]])))],
    )  # fmt: skip
    def test_a_file_without_text_is_refused(self, name: str, data: bytes) -> None:
        with pytest.raises(UnreadableFile, match="has no text"):
            load(data, name)
