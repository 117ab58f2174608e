"""Reads files in a separate process: a file that crashes, hangs or bloats its parser is refused with a reason."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass, field
from multiprocessing import Pipe
from typing import Any

from retrieval.documents.formats.limits import MIB, Limits
from retrieval.errors import ParserUnavailable, UnreadableFile, UnsupportedFormat
from retrieval.model import Block, Document

FILES_A_PROCESS = 200  # after that many a fresh process is started: what parsers leave behind does not pile up
START_SECONDS = 20.0  # imports take 1 s of an idle core; a loaded machine gets this long on top of a file's own time
STOP_SECONDS = 5.0
CLOCK = 10  # a loaded machine may take this many times as long by the clock as in processor time
OUT_OF_MEMORY = 75  # the exit code of a process that has not even the memory left to say so
REFUSALS = {error.__name__: error for error in (UnreadableFile, UnsupportedFormat)}


@dataclass(frozen=True)
class ParsingLimits:
    """Limits for one file: address space in bytes, seconds of processor time, and ten times that in real time."""

    max_parse_memory: int = 1024 * MIB
    max_parse_seconds: float = 60.0
    of_file: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Request:
    """What is sent to the process beside a file's bytes. `seconds` are of processor time."""

    filename: str
    url: str | None
    seconds: float
    limits: Limits

    def dump(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def parse(cls, text: bytes) -> Request:
        fields = json.loads(text)
        return cls(**{**fields, "limits": Limits(**fields["limits"])})


def dump_document(document: Document) -> dict[str, Any]:
    blocks = [(block.start, block.end, block.headings, block.page) for block in document.blocks]
    fields = {"filename": document.filename, "title": document.title, "text": document.text, "url": document.url}
    return {**fields, "blocks": blocks}


def parse_document(fields: dict[str, Any]) -> Document:
    blocks = tuple(Block(start, end, tuple(headings), page) for start, end, headings, page in fields["blocks"])
    return Document(**{**fields, "blocks": blocks})


def too_large(filename: str, max_memory: int) -> str:
    return (
        f"{filename} takes more than {max_memory // MIB:,} MiB of memory to read. Split it into smaller files, or "
        "raise the setting max_parse_memory."
    )


class Parser:
    """Reads files one at a time in a process that it keeps warm. Safe to use from several threads; close it at the end.

    The first file, or `warm`, starts the process. After a file that ended the process, a new one starts at once.
    """

    def __init__(self, limits: ParsingLimits | None = None) -> None:
        self._limits = limits or ParsingLimits()
        self._lock = threading.Lock()
        self._child: _Child | None = None

    def warm(self) -> None:
        """Start the process now, so that the first file need not wait for it; returns at once."""
        with self._lock:
            self._running()

    @property
    def process_id(self) -> int | None:
        """The id of the process that reads the next file; None before the first."""
        return self._child.process_id if self._child else None

    def load(self, data: bytes, filename: str, url: str | None = None) -> Document:
        """Read a file as `retrieval.documents.loading.load` does, and raise what that raises.

        Also raises UnreadableFile for a file that takes more memory or time than the limits allow, or that crashes its
        parser, and ParserUnavailable if the process cannot be started.
        """
        with self._lock:
            reply = self._ask(data, filename, url)
        if "error" in reply:
            raise REFUSALS[reply["error"]](reply["message"])
        return parse_document(reply["document"])

    def close(self) -> None:
        """End the process."""
        with self._lock:
            if self._child:
                self._child.kill()
            self._child = None

    def _ask(self, data: bytes, filename: str, url: str | None) -> dict[str, Any]:
        child = self._running()
        spent = True
        try:
            reply = child.read(data, filename, url)
            spent = reply["spent"] or child.files >= FILES_A_PROCESS
        finally:
            if spent:
                child.kill()
                self._child = _Child(self._limits)
        return reply

    def _running(self) -> _Child:
        if self._child is None or self._child.has_ended():
            self._child = _Child(self._limits)
        return self._child


class _Child:
    """The process and this side of the connection to it."""

    def __init__(self, limits: ParsingLimits) -> None:
        self._limits, self.files = limits, 0
        self._connection, theirs = Pipe()
        arguments = [str(theirs.fileno()), str(limits.max_parse_memory)]
        command = [sys.executable, "-m", "retrieval.documents.parser_process", *arguments]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),), env=_environment()
        )
        theirs.close()

    @property
    def process_id(self) -> int:
        return self._process.pid

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._connection.close()

    def read(self, data: bytes, filename: str, url: str | None) -> dict[str, Any]:
        """The child's reply. Raises UnreadableFile if there is none; then the child cannot be used any more."""
        self.files += 1
        limits = self._limits
        seconds = limits.max_parse_seconds
        request = Request(filename, url, seconds, limits.of_file)
        try:
            self._connection.send_bytes(request.dump())
            self._connection.send_bytes(data)
            if not self._connection.poll(CLOCK * seconds + START_SECONDS):
                raise UnreadableFile(_too_slow(filename, seconds))
            reply: dict[str, Any] = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError) as error:
            raise self._ended(filename) from error
        return reply

    def _ended(self, filename: str) -> UnreadableFile | ParserUnavailable:
        """Why the process has ended, according to its exit code."""
        self._connection.close()
        code = self._process.wait(STOP_SECONDS)
        if code == -signal.SIGPROF:
            return UnreadableFile(_too_slow(filename, self._limits.max_parse_seconds))
        if code == OUT_OF_MEMORY:
            return UnreadableFile(too_large(filename, self._limits.max_parse_memory))
        if code < 0:
            crash = signal.Signals(-code).name
            return UnreadableFile(f"{filename} crashes its parser ({crash}). Save it anew in another program.")
        return ParserUnavailable(f"the process that reads files ended with exit code {code}; its log says why")


def _too_slow(filename: str, seconds: float) -> str:
    return (
        f"{filename} takes longer than {seconds:g} s to read. Split it into smaller files, or raise the setting "
        "max_parse_seconds."
    )


def _environment() -> dict[str, str]:
    """Only what Python needs: parsers must not see this platform's secrets."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"}
