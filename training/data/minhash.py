"""MinHash with banded locality-sensitive hashing (Broder 1997; Leskovec, Rajaraman and Ullman, chapter 3).

The probability that two sets have the same minimum is their Jaccard similarity. Three minima make a band, and 64 bands
are compared: of pairs with a similarity of 0.5 one in 5,100 is missed, of pairs with 0.6 one in six million. The pairs
found are candidates; the caller compares the sets themselves.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

BANDS, ROWS = 64, 3
BUCKET = 64
"""In a bucket with more members, each is paired with only this many neighbours: the work stays linear for any data."""
_SEED = 7
_PRIME = np.uint64((1 << 31) - 1)
_MIX = np.uint64(0x9E3779B97F4A7C15)
Signatures = npt.NDArray[np.uint64]
Labels = npt.NDArray[np.uint64]


def signatures(sets: Sequence[Collection[str]]) -> Signatures:
    """[n, BANDS * ROWS] minima. Two empty sets count as alike."""
    rng = np.random.default_rng(_SEED)
    count = BANDS * ROWS
    factors = rng.integers(1, int(_PRIME), count, dtype=np.uint64)
    offsets = rng.integers(0, int(_PRIME), count, dtype=np.uint64)
    known: dict[str, int] = {}
    hashes = np.fromiter((_hash(one, known) for members in sets for one in (members or ("",))), np.uint64)
    starts = np.cumsum([0, *(max(1, len(members)) for members in sets[:-1])])
    found = np.empty((len(sets), count), np.uint64)
    for place in range(count if len(sets) else 0):
        found[:, place] = np.minimum.reduceat((hashes * factors[place] + offsets[place]) % _PRIME, starts)
    return found


def estimate(found: Signatures, pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The estimated Jaccard similarity of each pair [m, 2] of places."""
    parts = np.array_split(pairs, max(1, len(pairs) // 50_000))
    return np.concatenate([(found[part[:, 0]] == found[part[:, 1]]).mean(axis=1) for part in parts])


def candidates(found: Signatures, labels: Labels) -> npt.NDArray[np.int64]:
    """Pairs [m, 2] of places, the lower first, that share a band and one of their `labels` [n, k]; each once, in order.

    In a data set made from one template, every text shares bands with every other; labels separate them.
    """
    pairs = [np.empty(0, np.int64)]
    size, owners = np.int64(max(1, len(found))), np.repeat(np.arange(len(found)), labels.shape[1])
    for band in range(BANDS):
        columns = found[:, band * ROWS : (band + 1) * ROWS]
        keys = ((columns[:, 0] << np.uint64(31) ^ columns[:, 1]) * _MIX ^ columns[:, 2]) * _MIX
        every = (keys[:, None] ^ labels).ravel()
        order = np.argsort(every, kind="stable")
        ordered, owner = every[order], owners[order]
        for step in range(1, BUCKET + 1):
            same = ordered[step:] == ordered[:-step]
            if not same.any():
                break
            pairs.append(owner[:-step][same] * size + owner[step:][same])
        pairs = [_distinct(np.concatenate(pairs))]
    both = np.stack(np.divmod(pairs[0], size), axis=1)
    different: npt.NDArray[np.int64] = both[both[:, 0] != both[:, 1]]
    return different


def _distinct(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Each number once, in order. It sorts: numpy's own `unique` hashes, and takes ten times as long on millions."""
    ordered = np.sort(numbers)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])] if len(ordered) else ordered


def _hash(text: str, known: dict[str, int]) -> int:
    number = known.get(text)
    if number is None:
        number = known[text] = zlib.crc32(text.encode()) & 0x7FFFFFFF
    return number
