"""Every caller of `retrieval.text` makes of a text what it made of it before: see `callers`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.retrieval.text.callers import PAIRS, TEXTS, by_pair, by_text, gives


@pytest.mark.parametrize("name", TEXTS)
def test_each_caller_reads_a_text_as_it_did(name: str) -> None:
    assert gives(by_text(TEXTS[name]["text"])) == TEXTS[name]["gives"]


@pytest.mark.parametrize("pair", PAIRS, ids=[f"{pair['one']} | {pair['other']}" for pair in PAIRS])
def test_each_caller_compares_two_texts_as_it_did(pair: dict[str, Any]) -> None:
    assert gives(by_pair(pair["one"], pair["other"])) == pair["gives"]
