"""The process that reads files: what a bad file does to it, and to the next file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval.documents.formats.limits import MIB, Limits
from retrieval.documents.loading import load
from retrieval.documents.parser import Parser, ParsingLimits
from retrieval.errors import RetrievalError, UnreadableFile, UnsupportedFormat
from tests.support.notes import note
from tests.unit.retrieval.documents.test_formats import archive, book, mail, slides, word

MANUAL = Path("samples/brindle/documents/cargo-manual.pdf")
SLOW = b"<p>" + b"<b>x" * 20_000 + b"</p>"  # a minute's work for an HTML parser and no memory to speak of


@pytest.fixture(scope="module")
def parser() -> Iterator[Parser]:
    made = Parser()
    yield made
    made.close()


def child_of(parser: Parser) -> int:
    assert parser.process_id is not None
    return parser.process_id


def is_gone(pid: int, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


def test_a_document_comes_back_as_if_it_were_read_here(parser: Parser) -> None:
    files = {"a.docx": word(), "a.pptx": slides(), "a.epub": book(), "a.eml": mail(), "m.pdf": MANUAL.read_bytes()}
    for name, data in files.items():
        assert parser.load(data, name, "https://example.org") == load(data, name, "https://example.org")


def test_refusals_come_back_as_they_are_and_the_process_stays(parser: Parser) -> None:
    parser.warm()
    before = child_of(parser)
    with pytest.raises(UnsupportedFormat, match=r"a\.png is of a kind that is not read"):
        parser.load(b"x", "a.png")
    with pytest.raises(UnreadableFile, match="empty"):
        parser.load(b"", "a.md")
    assert child_of(parser) == before


def test_a_warm_process_reads_a_two_page_file_well_within_the_time_from_upload_to_answer(parser: Parser) -> None:
    data = MANUAL.read_bytes()
    parser.load(data, MANUAL.name)
    took = []
    for _ in range(5):
        started = time.perf_counter()
        parser.load(data, MANUAL.name)
        took.append(time.perf_counter() - started)
    note(f"{min(took) * 1000:.0f} ms to read a two-page PDF in the warm process")
    assert min(took) < 1.0


def test_a_process_that_was_killed_between_two_files_is_replaced_without_a_word(parser: Parser) -> None:
    parser.warm()
    os.kill(child_of(parser), signal.SIGKILL)
    assert is_gone(child_of(parser))
    assert parser.load(b"# A\n\nText.", "a.md").title == "A"


def test_a_file_that_takes_too_long_is_refused_and_the_next_one_is_read() -> None:
    parser = Parser(ParsingLimits(max_parse_seconds=0.05))
    try:
        with pytest.raises(UnreadableFile, match=r"slow\.html takes longer than 0\.05 s.*max_parse_seconds"):
            parser.load(SLOW, "slow.html")
    finally:
        parser.close()


def test_a_file_that_takes_too_much_memory_is_refused_and_the_next_one_is_read() -> None:
    parser = Parser(ParsingLimits(max_parse_memory=512 * MIB))
    row = b"<w:p><w:r><w:t>x</w:t></w:r></w:p>" * 1_500_000
    document = b'<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>'
    bomb = {"[Content_Types].xml": TYPES, "_rels/.rels": RELATIONS}
    try:
        data = archive({**bomb, "word/document.xml": document + row + b"</w:body></w:document>"})
        with pytest.raises(UnreadableFile, match=r"(512 MiB.*max_parse_memory|damaged|crashes)"):
            parser.load(data, "bomb.docx")
        assert parser.load(b"# A\n\nText.", "a.md").title == "A"
    finally:
        parser.close()


def test_a_crash_of_the_parser_is_an_error_of_that_file_alone() -> None:
    parser = Parser(ParsingLimits(max_parse_seconds=30))
    try:
        parser.load(b"warm", "a.txt")
        killer = subprocess.Popen(["sh", "-c", f"sleep 0.3; kill -SEGV {child_of(parser)}"])
        with pytest.raises(UnreadableFile, match=r"slow\.html crashes its parser \(SIGSEGV\)"):
            parser.load(SLOW * 40, "slow.html")
        killer.wait()
        assert parser.load(b"# A\n\nText.", "a.md").title == "A"
    finally:
        parser.close()


def test_the_process_ends_with_its_parent() -> None:
    code = "from retrieval.documents.parser import Parser; p = Parser(); p.load(b'x', 'a.txt')"
    code = f"{code}; print(p.process_id, flush=True)"
    parent = subprocess.Popen([sys.executable, "-c", f"{code}; input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    assert is_gone(child)


def test_the_process_knows_nothing_of_the_platforms_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_SERVICE_TOKEN", "secret-of-the-platform")
    parser = Parser()
    try:
        parser.load(b"x", "a.txt")
        assert b"secret-of-the-platform" not in Path(f"/proc/{child_of(parser)}/environ").read_bytes()
    finally:
        parser.close()


def test_a_million_rows_are_refused_by_the_limit_on_text() -> None:
    rows = b"name,value\n" + b"some name,some value\n" * 1_000_000
    parser = Parser(ParsingLimits(of_file=Limits(max_characters=1_000_000)))
    try:
        with pytest.raises(RetrievalError, match="max_characters"):
            parser.load(rows, "rows.csv")
    finally:
        parser.close()


TYPES = b"""<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels"
 ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/word/document.xml"
 ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>"""
RELATIONS = b"""<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
<Relationship Id="r1" Target="word/document.xml"
 Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"/></Relationships>"""
