from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator

import httpx
import pytest

from services.kit.events import read_events, read_events_async

SEPARATORS = "\u2028\u2029\u0085\x0b\x0c\x1c\x1d\x1e"
"""What `str.splitlines` cuts at and a stream of events does not."""


def streamed(received: Iterable[bytes]) -> httpx.Response:
    return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=iter(received))


def test_an_event_is_whole_whatever_characters_stand_in_it() -> None:
    stream = f'data: {{"text": "a{SEPARATORS}b"}}\n\ndata: [DONE]\n\n'.encode()
    assert list(read_events(streamed([stream]))) == [f'{{"text": "a{SEPARATORS}b"}}', "[DONE]"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_bytes_may_come_one_by_one(end: str) -> None:
    stream = end.join(
        ["event: answer", "data: é\u2028", "data:two lines", "", ": ping", "", "id: 7", "data: end", "", ""]
    )
    bytewise = (bytes([byte]) for byte in stream.encode())
    assert list(read_events(streamed(bytewise))) == ["é\u2028\ntwo lines", "end"]


def test_an_event_comes_as_soon_as_it_is_whole_and_one_that_is_cut_off_does_not() -> None:
    came = list[str]()

    def feed() -> Iterator[bytes]:
        yield b"data: one\n\nda"
        assert came == ["one"]
        yield b"ta: two\n"
        assert came == ["one"]
        yield b"\n"
        assert came == ["one", "two"]
        yield b"data: three\n"

    for data in read_events(streamed(feed())):
        came.append(data)
    assert came == ["one", "two"]


def test_an_event_without_data_is_left_out_and_a_ping_after_an_id_is_none() -> None:
    stream = b"id: 7\ndata: one\n\nevent: nothing\n\n: ping\n\ndata: two\n\n"
    assert list(read_events(streamed([stream]))) == ["one", "two"]


def test_a_response_without_a_content_type_is_read_all_the_same() -> None:
    assert list(read_events(httpx.Response(200, content=b"data: one\n\n"))) == ["one"]


def test_asyncio_reads_the_same_events() -> None:
    async def received() -> AsyncIterator[bytes]:
        for byte in f"data: a{SEPARATORS}b\n\ndata: cut".encode():
            yield bytes([byte])

    async def read() -> list[str]:
        return [data async for data in read_events_async(httpx.Response(200, content=received()))]

    assert asyncio.run(read()) == [f"a{SEPARATORS}b"]
