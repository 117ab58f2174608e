"""Server-sent events as a client reads them, cut where the standard cuts: at LF, CRLF and CR.

httpx's `iter_lines` cuts as `str.splitlines` does, also at U+2028, U+2029, U+0085 and more, which may stand inside the
JSON of an event: a document or an answer with one of them broke the reader.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator

LINE_END = re.compile(rb"\r\n|\n|\r")


class EventReader:
    """Takes bytes as they come and gives the `data` of every event that is whole. An event that is cut off is none."""

    def __init__(self) -> None:
        self._rest, self._after_cr, self._data = b"", False, list[str]()

    def feed(self, received: bytes) -> Iterator[str]:
        if self._after_cr:
            received = received.removeprefix(b"\n")
        self._after_cr = received.endswith(b"\r")
        *lines, self._rest = LINE_END.split(self._rest + received)
        for line in lines:
            if line:
                self._take(line)
            elif self._data:
                yield "\n".join(self._data)
                self._data.clear()

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" ").decode(errors="replace"))


def read_events(received: Iterable[bytes]) -> Iterator[str]:
    """The `data` of each event in a response's bytes."""
    reader = EventReader()
    for part in received:
        yield from reader.feed(part)


async def read_events_async(received: AsyncIterable[bytes]) -> AsyncIterator[str]:
    """As `read_events`, for asyncio."""
    reader = EventReader()
    async for part in received:
        for data in reader.feed(part):
            yield data
