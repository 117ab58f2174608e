"""Which texts are embedded together."""

from __future__ import annotations

import random
from itertools import pairwise

from retrieval.embedding.openvino_embedder import MOST_TEXTS, MOST_TOKENS, batches_of_like_length


def test_every_text_is_in_exactly_one_batch() -> None:
    lengths = [random.Random(3).randint(1, 256) for _ in range(500)]
    batches = list(batches_of_like_length(lengths))
    assert sorted(place for batch in batches for place in batch) == list(range(500))


def test_a_batch_has_texts_of_like_length_and_a_bounded_size() -> None:
    lengths = [random.Random(5).randint(1, 256) for _ in range(500)]
    batches = list(batches_of_like_length(lengths))
    ranges = [[lengths[place] for place in batch] for batch in batches]
    assert all(len(some) <= MOST_TEXTS and len(some) * max(some) <= MOST_TOKENS for some in ranges)
    assert all(min(longer) >= max(shorter) for longer, shorter in pairwise(ranges))


def test_a_text_longer_than_a_batch_is_computed_alone() -> None:
    assert list(batches_of_like_length([10, MOST_TOKENS + 1, 9])) == [[1], [0, 2]]


def test_no_texts_make_no_batch() -> None:
    assert list(batches_of_like_length([])) == []
