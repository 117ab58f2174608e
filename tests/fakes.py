"""An embedder without a model, for tests of all that stands on vectors."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence


class HashingEmbedder:
    """An embedder without a model: words hashed into a vector of length one. Texts with words in common are near."""

    name = "hashing"

    def __init__(self, dimension: int = 64) -> None:
        self.dimension = dimension

    def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> tuple[float, ...]:
        numbers = [0.0] * self.dimension
        for word in text.casefold().split():
            numbers[zlib.crc32(word.strip(".,?!").encode()) % self.dimension] += 1.0
        length = math.sqrt(math.fsum(number * number for number in numbers))
        return tuple(number / length for number in numbers) if length else (1.0, *numbers[1:])

    def count_tokens(self, text: str) -> int:
        return len(text.split())
