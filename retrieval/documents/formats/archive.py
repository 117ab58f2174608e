"""Zipped formats (DOCX, PPTX, XLSX, EPUB), opened only if their unpacked content stays within limits."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from zipfile import BadZipFile, ZipFile, ZipInfo

from retrieval.documents.formats.limits import MIB
from retrieval.errors import UnreadableFile, UnsupportedFormat

MAX_MEMBERS = 20_000
LONGEST_PROLOG = 4096  # bytes of an XML part in which a document type would stand
ENCRYPTED = 0x1
OLE_CONTAINER = b"\xd0\xcf\x11\xe0"
ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
CONTENTS = {
    "word/": "a Word document",
    "ppt/": "a presentation",
    "xl/": "a workbook",
    "META-INF/container.xml": "a book",
}
ZIPPED = {"DOCX": "word/", "PPTX": "ppt/", "XLSX": "xl/", "EPUB": "META-INF/container.xml"}
DAMAGE: tuple[type[Exception], ...] = (
    BadZipFile, zlib.error, EOFError, OSError, SyntaxError, NotImplementedError, RuntimeError,
    ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError,
)  # fmt: skip


def open_archive(data: bytes, filename: str, kind: str, max_unpacked_bytes: int) -> ZipFile:
    """Open a file of the zipped format `kind`, after a check of its contents without unpacking.

    The sizes that an archive states limit what is unpacked: zipfile reads no member beyond its stated size.

    Raises UnreadableFile for an encrypted or damaged archive, for one that unpacks to more than `max_unpacked_bytes`,
    and for XML that defines entities, with which a few lines can grow without limit; UnsupportedFormat for another
    kind.
    """
    _refuse_old_container(data, filename, kind)
    with whole(filename, kind):
        archive = ZipFile(BytesIO(data))
        members = archive.infolist()
        _check_kind(members, filename, kind)
        _check_sizes(members, filename, max_unpacked_bytes)
        for member in members:
            if member.filename.endswith((".xml", ".rels", ".opf")):
                _refuse_entities(archive, member, filename)
    return archive


@contextmanager
def whole(filename: str, kind: str, *own_errors: type[Exception]) -> Iterator[None]:
    """Within this context, a parser's error means damage. Damaged files cause all kinds of errors, not only parsers'
    own.
    """
    try:
        yield
    except RecursionError:
        raise
    except (*DAMAGE, *own_errors) as error:
        reason = str(error)[:200] if isinstance(error, BadZipFile | zlib.error) else ""  # others may quote the text
        what = reason or type(error).__name__
        raise UnreadableFile(f"{filename} is damaged and cannot be read as {kind} ({what}). Upload it anew.") from error


def _refuse_old_container(data: bytes, filename: str, kind: str) -> None:
    """Office stores an encrypted document in the container of its formats before 2007."""
    if not data.startswith(OLE_CONTAINER):
        return
    if ENCRYPTED_PACKAGE in data:
        raise UnreadableFile(f"{filename} is encrypted; remove its password and upload it anew.")
    raise UnsupportedFormat(f"{filename} is named as {kind} but holds an old Office document. Save it as {kind}.")


def _check_kind(members: list[ZipInfo], filename: str, kind: str) -> None:
    if any(member.filename.startswith(ZIPPED[kind]) for member in members):
        return
    names = (CONTENTS[sign] for sign in CONTENTS if any(member.filename.startswith(sign) for member in members))
    found = next(names, "another kind of archive")
    raise UnsupportedFormat(f"{filename} is named as {kind} but holds {found}. Give it its proper ending.")


def _check_sizes(members: list[ZipInfo], filename: str, max_unpacked_bytes: int) -> None:
    if any(member.flag_bits & ENCRYPTED for member in members):
        raise UnreadableFile(f"{filename} is encrypted; remove its password and upload it anew.")
    if len(members) > MAX_MEMBERS:
        raise UnreadableFile(f"{filename} is an archive of {len(members):,} files; at most {MAX_MEMBERS:,} are read.")
    unpacked = sum(member.file_size for member in members)
    if unpacked > max_unpacked_bytes:
        raise UnreadableFile(
            f"{filename} unpacks to {unpacked // MIB:,} MiB; at most {max_unpacked_bytes // MIB:,} MiB are read. Split "
            "it into smaller files, or raise the setting max_unpacked_bytes."
        )


def _refuse_entities(archive: ZipFile, member: ZipInfo, filename: str) -> None:
    with archive.open(member) as part:
        if b"<!ENTITY" in part.read(LONGEST_PROLOG):
            raise UnreadableFile(f"{filename} defines XML entities in {member.filename}; such files are not read.")
