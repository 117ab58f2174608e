"""Bytes to text."""

from __future__ import annotations

import re

from retrieval.errors import UnreadableFile

BYTE_ORDER_MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe\x00\x00": "utf-32", b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16",
}  # fmt: skip
UNICODE_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")  # of text that rightly holds zero bytes
HTML_CHARSET = re.compile(rb"<meta[^>]+charset=[\"']?\s*([A-Za-z0-9_\-]+)", re.IGNORECASE)
XML_ENCODING = re.compile(rb"\A\s*<\?xml[^>]*\bencoding=[\"']([A-Za-z0-9._\-]+)")


def decode(data: bytes, filename: str, declaration: re.Pattern[bytes] | None = None) -> str:
    """Text by its byte order mark, by the character set that it declares, else UTF-8; line ends are `\\n`.

    `declaration` finds the character set at the file's beginning, if its format has a place for it. Nothing is guessed:
    charset-normalizer 3.5 takes short Latin-1 English for code page 775, without doubt, and a wrong letter in a fact is
    worse than a refused file. Raises UnreadableFile.
    """
    encoding = next((name for mark, name in BYTE_ORDER_MARKS.items() if data.startswith(mark)), "utf-8")
    declared = declaration.search(data[:4096]) if declaration and encoding == "utf-8" else None
    if declared:
        encoding = declared[1].decode("ascii")
    try:
        return data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UnreadableFile(
            f"{filename} is not valid {encoding.upper()}: byte 0x{data[error.start]:02X} at offset {error.start}, "
            f"line {line}. Save it as UTF-8 and upload it anew."
        ) from error
    except LookupError as error:
        raise UnreadableFile(f"{filename} names a character set that does not exist, {encoding!r}.") from error
