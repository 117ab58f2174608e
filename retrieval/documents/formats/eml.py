"""E-mail: the subject, who wrote when to whom, and the text. Attachments are named, not read."""

from __future__ import annotations

from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from email.utils import parsedate_to_datetime

from retrieval.documents.formats.assembler import Assembler
from retrieval.documents.formats.html import read_html
from retrieval.documents.formats.markdown import read_plain_text
from retrieval.errors import UnreadableFile

HEADERS = ("From", "To", "Cc")


def read_eml(data: bytes, into: Assembler) -> str | None:
    """Read a message into `into`; returns its subject, or None. The plain text is preferred to the HTML part.

    Raises UnreadableFile if there are no headers of a message, or its text cannot be decoded.
    """
    message = BytesParser(_class=EmailMessage, policy=default).parsebytes(data.lstrip())
    if not any(name in message for name in ("From", "To", "Subject", "Date")):
        raise UnreadableFile(f"{into.filename} is not an e-mail: it has no From, To, Subject or Date.")
    try:
        subject = " ".join(str(message["Subject"] or "").split())
        into.heading(1, subject)
        into.block("\n".join(_envelope(message)))
        _read_body(message, into)
    except (LookupError, ValueError, TypeError, AttributeError, AssertionError) as error:
        # the standard library's parser meets malformed headers and parts with whatever they lead to
        what = type(error).__name__  # its words may quote the message
        raise UnreadableFile(f"{into.filename} is malformed and cannot be read as e-mail ({what}).") from error
    return subject or None


def _envelope(message: EmailMessage) -> list[str]:
    lines = [f"{name}: {' '.join(str(message[name]).split())}" for name in HEADERS if message[name]]
    if message["Date"]:
        lines.append(f"Date: {_date(str(message['Date']))}")
    names = [part.get_filename() or part.get_content_type() for part in message.iter_attachments()]
    return [*lines, *([f"Attachments: {', '.join(names)}"] if names else [])]


def _date(text: str) -> str:
    try:
        return parsedate_to_datetime(text).isoformat(" ", "minutes")
    except ValueError:
        return text


def _read_body(message: EmailMessage, into: Assembler) -> None:
    body = message.get_body(("plain", "html"))
    if body is None:
        return
    text = str(body.get_content()).replace("\r\n", "\n")
    into.depth += 1
    if body.get_content_type() == "text/html":
        read_html(text, into)
    else:
        read_plain_text(text, into)
    into.depth -= 1
