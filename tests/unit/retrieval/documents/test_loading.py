from __future__ import annotations

from io import BytesIO

import pytest
from fpdf import FPDF
from pypdf import PdfReader, PdfWriter

from retrieval.documents.formats.limits import Limits
from retrieval.documents.loading import load
from retrieval.errors import UnreadableFile, UnsupportedFormat
from retrieval.model import Document

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"


def make_pdf(pages: list[list[tuple[str, int]]], title: str = "") -> bytes:
    """A PDF of pages, each a list of (paragraph, type size)."""
    pdf = FPDF(format=(148, 210))
    if title:
        pdf.set_title(title)
    for page in pages:
        pdf.add_page()
        for text, size in page:
            pdf.set_font("Helvetica", size=size)
            pdf.multi_cell(0, size * 0.5, text, align="L", new_x="LMARGIN", new_y="NEXT")
            pdf.ln(4)
    return bytes(pdf.output())


def encrypt(data: bytes, password: str) -> bytes:
    writer = PdfWriter(clone_from=PdfReader(BytesIO(data)))
    writer.encrypt(password, owner_password="owner", algorithm="AES-256")
    out = BytesIO()
    writer.write(out)
    return out.getvalue()


def texts(document: Document) -> list[str]:
    return [document.text[block.start : block.end] for block in document.blocks]


class TestMarkdown:
    def test_blocks_know_their_heading_path(self) -> None:
        document = load(
            b"# Bikes\n\nIntro.\n\n## City\n\nOne.\n\nTwo.\n\n### Lights\n\nThree.\n\n## Hill\n\nFour.\n", "a.md"
        )
        assert document.title == "Bikes"
        assert list(zip(texts(document), [block.headings for block in document.blocks], strict=True)) == [
            ("Intro.", ("Bikes",)),
            ("One.", ("Bikes", "City")),
            ("Two.", ("Bikes", "City")),
            ("Three.", ("Bikes", "City", "Lights")),
            ("Four.", ("Bikes", "Hill")),
        ]

    def test_a_heading_with_nothing_beneath_it_is_kept_as_a_block(self) -> None:
        document = load(b"# Rules\n\n## Closed on Sundays\n\n## Open\n\nMondays.", "a.md")
        assert texts(document) == ["Closed on Sundays", "Mondays."]

    def test_a_hash_in_a_code_fence_is_no_heading(self) -> None:
        document = load(b"# Setup\n\n```sh\n# a comment\n\nrun it\n```\n\nDone.", "a.md")
        assert texts(document) == ["```sh\n# a comment\n\nrun it\n```", "Done."]

    def test_underlined_headings_are_headings_and_tables_are_not(self) -> None:
        document = load(b"Prices\n======\n\nIntro.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n", "a.md")
        assert texts(document) == ["Intro.", "| a | b |\n|---|---|\n| 1 | 2 |"]
        assert document.blocks[0].headings == ("Prices",)

    def test_front_matter_gives_the_title_and_is_not_text(self) -> None:
        document = load(b'---\ntitle: "Leave policy"\ndate: 2026-01-01\n---\n\n# Leave\n\nText.', "a.md")
        assert document.title == "Leave policy"
        assert "2026-01-01" not in document.text

    def test_without_a_heading_the_name_is_the_title(self) -> None:
        assert load(b"Just text.", "lost-keys.md").title == "lost-keys"


class TestPlainText:
    def test_a_first_line_that_stands_alone_is_the_title(self) -> None:
        document = load(b"STORING YOUR BIKE\n\nWINTER\n------\nKeep it dry.\n", "a.txt")
        assert document.title == "STORING YOUR BIKE"
        assert document.blocks[0].headings == ("STORING YOUR BIKE", "WINTER")
        assert texts(document) == ["Keep it dry."]

    def test_a_first_sentence_is_no_title(self) -> None:
        document = load(b"Keep it dry.\n\nAlways.", "note.txt")
        assert (document.title, texts(document)) == ("note", ["Keep it dry.", "Always."])

    def test_windows_line_ends_are_line_ends(self) -> None:
        assert texts(load(b"One.\r\n\r\nTwo.\r\n", "a.txt")) == ["One.", "Two."]


class TestHtml:
    PAGE = b"""<html><head><title>Prices - Shop</title><style>p {color: red}</style></head><body>
      <header><nav><a>Home</a></nav></header>
      <main><article><header><h1>Price   list</h1></header>
        <p>All prices <b>include</b> tax.<br>Since 2026.</p>
        <h2>Bikes</h2>
        <table><tr><th>Model</th><th>Price</th></tr><tr><td>City</td><td>1 200</td></tr></table>
        <ul><li>One<ul><li>Inner</li></ul></li><li>Two</li></ul>
        <script>alert(1)</script><!-- hidden --></article></main>
      <aside>Related</aside><footer>Imprint</footer></body></html>"""

    def test_only_the_pages_own_text_is_read(self) -> None:
        document = load(self.PAGE, "a.html", url="https://example.org/prices")
        assert document.title == "Price list"
        assert document.url == "https://example.org/prices"
        assert texts(document) == [
            "All prices include tax. Since 2026.",
            "Model | Price\nCity | 1 200",
            "- One\n- Inner\n- Two",
        ]
        assert document.blocks[1].headings == ("Price list", "Bikes")

    def test_without_a_heading_the_title_tag_is_the_title(self) -> None:
        document = load(b"<title>Rules</title><body>Loose <i>text</i> and <div>a block</div> more</body>", "a.htm")
        assert (document.title, texts(document)) == ("Rules", ["Loose text and", "a block", "more"])

    def test_a_declared_character_set_is_used(self) -> None:
        page = '<meta charset="iso-8859-1"><p>Größe</p>'.encode("latin-1")
        assert texts(load(page, "a.html")) == ["Größe"]

    def test_a_page_without_text_is_refused(self) -> None:
        with pytest.raises(UnreadableFile, match="no text"):
            load(b"<html><body><script>x()</script></body></html>", "a.html")


class TestPdf:
    def test_blocks_know_their_page_and_the_larger_lines_above_them(self) -> None:
        data = make_pdf(
            [[("Manual", 20), ("Lights", 14), ("Lamps are bright.", 10)], [("Brakes", 14), ("Brakes stop.", 10)]]
        )
        document = load(data, "manual.pdf")
        assert document.title == "Manual"
        assert [(block.headings, block.page) for block in document.blocks] == [
            (("Manual", "Lights"), 1),
            (("Manual", "Brakes"), 2),
        ]
        assert texts(document) == ["Lamps are bright.", "Brakes stop."]

    def test_the_title_in_the_metadata_comes_first(self) -> None:
        assert (
            load(make_pdf([[("Heading", 20), ("Text.", 10)]], title="Owner's manual"), "a.pdf").title
            == "Owner's manual"
        )

    def test_wrapped_lines_become_one_paragraph(self) -> None:
        sentence = "This sentence is long enough to be wrapped over several lines of a small page, as all are. " * 3
        assert texts(load(make_pdf([[(sentence.strip(), 10)]]), "a.pdf")) == [sentence.strip()]

    def test_a_sentence_over_a_page_end_stays_whole_on_the_page_where_it_begins(self) -> None:
        data = make_pdf([[("The lamp is fitted with", 10)], [("two screws. They are small.", 10)]])
        document = load(data, "a.pdf")
        assert texts(document) == ["The lamp is fitted with two screws.", "They are small."]
        assert [block.page for block in document.blocks] == [1, 2]

    def test_running_headers_and_page_numbers_are_left_out(self) -> None:
        pages = [[("Brindle manual", 8), (f"Body of part {part}.", 10), (f"Page {number}", 8)]
                 for number, part in enumerate("abc", start=1)]  # fmt: skip
        assert texts(load(make_pdf(pages), "a.pdf")) == ["Body of part a.", "Body of part b.", "Body of part c."]

    def test_an_encrypted_file_is_refused_in_words(self) -> None:
        data = encrypt(make_pdf([[("Secret.", 10)]]), "open sesame")
        with pytest.raises(UnreadableFile, match=r"locked\.pdf is encrypted; remove its password"):
            load(data, "locked.pdf")

    def test_a_file_protected_against_changes_only_can_be_read(self) -> None:
        assert texts(load(encrypt(make_pdf([[("Public.", 10)]]), ""), "a.pdf")) == ["Public."]

    @pytest.mark.parametrize("cut", [0.02, 0.3, 0.6])
    def test_a_file_cut_short_is_refused_in_words(self, cut: float) -> None:
        data = make_pdf([[("Some text. " * 50, 10)]])
        with pytest.raises(UnreadableFile, match=r"half\.pdf"):
            load(data[: int(len(data) * cut)], "half.pdf")

    def test_rubbish_after_a_pdf_signature_is_refused_in_words(self) -> None:
        with pytest.raises(UnreadableFile, match=r"bad\.pdf"):
            load(b"%PDF-1.7\n" + bytes(range(256)) * 20, "bad.pdf")

    def test_a_file_without_text_is_refused_with_advice(self) -> None:
        with pytest.raises(UnreadableFile, match="text recognition"):
            load(make_pdf([[]]), "scan.pdf")

    def test_a_file_of_too_many_pages_is_refused(self) -> None:
        with pytest.raises(UnreadableFile, match="3 pages; at most 2"):
            load(make_pdf([[("a", 10)], [("b", 10)], [("c", 10)]]), "long.pdf", limits=Limits(max_pages=2))


class TestBadInput:
    @pytest.mark.parametrize("name", ["a.md", "a.txt", "a.html", "a.pdf"])
    @pytest.mark.parametrize("data", [b"", b" \n\t\n"])
    def test_an_empty_file_is_refused(self, name: str, data: bytes) -> None:
        with pytest.raises(UnreadableFile, match="empty"):
            load(data, name)

    @pytest.mark.parametrize("name", ["a.doc", "a.png", "a", "a.rtf"])
    def test_a_kind_that_is_not_read_is_refused_and_the_readable_ones_named(self, name: str) -> None:
        with pytest.raises(UnsupportedFormat, match=r"\.md.*\.pdf"):
            load(b"hello", name)

    @pytest.mark.parametrize(
        ("name", "data", "holds"),
        [
            ("a.md", PNG, "PNG"),
            ("a.txt", make_pdf([[("x", 10)]]), "PDF"),
            ("a.html", b"PK\x03\x04rest", "ZIP"),
            ("a.pdf", PNG, "PNG"),
            ("a.pdf", b"just text", "does not hold one"),
            ("a.md", b"text\x00with\x01binary", "binary"),
        ],
    )
    def test_content_that_does_not_fit_the_name_is_refused(self, name: str, data: bytes, holds: str) -> None:
        with pytest.raises(UnsupportedFormat, match=holds):
            load(data, name)

    def test_invalid_utf8_is_refused_with_the_place(self) -> None:
        with pytest.raises(UnreadableFile, match=r"a\.md is not valid UTF-8: byte 0xE9 at offset 12, line 2"):
            load(b"First.\nThe c\xe9.", "a.md")

    def test_an_unknown_declared_character_set_is_refused(self) -> None:
        with pytest.raises(UnreadableFile, match="klingon"):
            load(b'<meta charset="klingon"><p>x</p>', "a.html")

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_unicode_with_a_byte_order_mark_is_read(self, encoding: str) -> None:
        assert texts(load("Größe — 3,8 bar".encode(encoding), "a.txt")) == ["Größe — 3,8 bar"]
