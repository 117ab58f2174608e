"""The process that reads files, so that a bad file can take down no other: `retrieval.documents.parser` starts it.

    python -m retrieval.documents.parser_process DESCRIPTOR MAX_MEMORY

DESCRIPTOR is an inherited end of a `multiprocessing.Pipe`. Each request is two messages, a JSON object of `Request`
and the file's bytes; the reply is one, a JSON object of the document or of the error. The process holds to its limits
by itself: memory by RLIMIT_AS, processor time by a timer whose signal ends it, and it writes no file.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from retrieval.documents.loading import load
from retrieval.documents.parser import OUT_OF_MEMORY, Request, dump_document, too_large
from retrieval.errors import InputError, UnreadableFile

SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
SPENT = 0.5  # the share of its memory beyond which a process takes no other file: what it grew by is not given back


def serve(connection: Connection, max_memory: int) -> None:
    """Answer requests until the other side is gone."""
    while True:
        try:
            request, data = Request.parse(connection.recv_bytes()), connection.recv_bytes()
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_PROF, request.seconds)
        reply = _answer(request, data, max_memory)
        signal.setitimer(signal.ITIMER_PROF, 0)
        connection.send_bytes(reply)


def _answer(request: Request, data: bytes, max_memory: int) -> bytes:
    try:
        reply = _read(request, data, max_memory)
        return json.dumps({**reply, "spent": _memory() > SPENT * max_memory}).encode()
    except MemoryError:
        os._exit(OUT_OF_MEMORY)


def _read(request: Request, data: bytes, max_memory: int) -> dict[str, Any]:
    try:
        return {"document": dump_document(load(data, request.filename, request.url, request.limits))}
    except InputError as error:
        return {"error": type(error).__name__, "message": str(error)}
    except MemoryError:
        return {"error": UnreadableFile.__name__, "message": too_large(request.filename, max_memory)}
    except Exception as error:  # noqa: BLE001 the edge of the process: parsers meet damage with whatever it leads to
        reason = f"{request.filename} cannot be read ({type(error).__name__})."  # its words may quote the file
        return {"error": UnreadableFile.__name__, "message": reason}


def _memory() -> int:
    """The address space of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()


def _restrict(max_memory: int) -> None:
    """From now on this process is held to its limits, and ends with its parent."""
    ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() == 1:
        raise SystemExit("the process that started this one is gone")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which lets a file be finished
    resource.setrlimit(resource.RLIMIT_AS, (max_memory, max_memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    logging.disable()  # parsers log each oddity of a file


def main(arguments: Sequence[str]) -> int:
    descriptor, max_memory = map(int, arguments)
    _restrict(max_memory)
    serve(Connection(descriptor), max_memory)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
