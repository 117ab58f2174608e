"""Server-sent events as a client of ours reads them: the `data` of every event that has some, by httpx-sse.

httpx-sse cuts lines where the standard cuts, at LF, CRLF and CR. httpx's `iter_lines` cuts as `str.splitlines` does,
also at U+2028, U+2029, U+0085 and more, which may stand inside the JSON of an event.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

import httpx
from httpx_sse import EventSource


class _Events(EventSource):
    """The events of a response, whatever its content type: a proxy on the way may have removed that."""

    def _check_content_type(self) -> None:
        pass


def read_events(response: httpx.Response) -> Iterator[str]:
    """The `data` of each event as it arrives. An event that is cut off is ignored."""
    for event in _Events(response).iter_sse():
        if event.data:
            yield event.data


async def read_events_async(response: httpx.Response) -> AsyncGenerator[str, None]:
    """As `read_events`, for asyncio."""
    async with aclosing(_Events(response).aiter_sse()) as events:
        async for event in events:
            if event.data:
                yield event.data
