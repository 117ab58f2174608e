from __future__ import annotations

import pytest

from services.kit.events import EventReader, read_events

SEPARATORS = "\u2028\u2029\u0085\x0b\x0c\x1c\x1d\x1e"
"""What `str.splitlines` cuts at and a stream of events does not."""


def test_an_event_is_whole_whatever_characters_stand_in_it() -> None:
    stream = f'data: {{"text": "a{SEPARATORS}b"}}\n\ndata: [DONE]\n\n'.encode()
    assert list(read_events([stream])) == [f'{{"text": "a{SEPARATORS}b"}}', "[DONE]"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_bytes_may_come_one_by_one(end: str) -> None:
    stream = end.join(
        ["event: answer", "data: é\u2028", "data:two lines", "", ": ping", "", "id: 7", "data: end", "", ""]
    )
    assert list(read_events(bytes([byte]) for byte in stream.encode())) == ["é\u2028\ntwo lines", "end"]


def test_an_event_comes_as_soon_as_it_is_whole_and_one_that_is_cut_off_does_not() -> None:
    reader = EventReader()
    assert list(reader.feed(b"data: one\n\nda")) == ["one"]
    assert list(reader.feed(b"ta: two\n")) == []
    assert list(reader.feed(b"\n")) == ["two"]
