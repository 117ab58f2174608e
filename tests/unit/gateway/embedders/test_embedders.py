from __future__ import annotations

import pytest

from retrieval.embedding.embedder import Embedder
from retrieval.errors import EmbedderMismatch
from services.retrieval.index.catalog import EmbedderName
from services.retrieval.search.embedders import Embedders
from tests.fakes import HashingEmbedder
from tests.worker_desk import EMBEDDERS, open_embedder

CURRENT = EmbedderName("hashing", 64)
WIDE, BLIND = EmbedderName("wide", 128), EmbedderName("blind", 64)


class Shelf:
    """Counts how often a model is loaded."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def open(self, name: str) -> Embedder:
        self.loaded.append(name)
        return open_embedder(name)


def embedders(most_former: int, shelf: Shelf | None = None) -> Embedders:
    return Embedders(HashingEmbedder(), (shelf or Shelf()).open, most_former)


def test_a_collection_is_asked_with_the_embedder_that_made_it() -> None:
    known = embedders(1)
    assert known.of(CURRENT) is known.current
    assert known.of(WIDE) is EMBEDDERS["wide"]


def test_a_former_embedder_is_loaded_once_and_as_many_are_kept_as_allowed() -> None:
    shelf = Shelf()
    known = embedders(1, shelf)
    for name in (WIDE, WIDE, BLIND, BLIND, WIDE):
        known.of(name)
    assert shelf.loaded == ["wide", "blind", "wide"]


def test_where_none_may_be_kept_the_error_says_what_to_do() -> None:
    with pytest.raises(EmbedderMismatch, match=r"wide .*hashing .* is set: reindex the store"):
        embedders(0).of(WIDE)


def test_one_that_cannot_be_loaded_is_tried_once() -> None:
    shelf = Shelf()
    known = embedders(1, shelf)
    for _ in range(2):
        with pytest.raises(EmbedderMismatch, match="there is no model gone"):
            known.of(EmbedderName("gone", 64))
    assert shelf.loaded == ["gone"]


def test_a_model_that_has_other_numbers_than_the_collection_is_refused() -> None:
    with pytest.raises(EmbedderMismatch, match="64 numbers now"):
        embedders(1).of(EmbedderName("hashing", 32))
