"""How good a ranking or a short answer is. All scores are in 0..1, 1 being best."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence, Set

from retrieval.text.words import SCORED_WORD


def ndcg_at_k(ranked: Sequence[str], relevant: Mapping[str, float], k: int) -> float:
    """Normalised discounted cumulative gain: linear gain, log2 discount (Järvelin and Kekäläinen, 2002), as pytrec_eval
    computes it.

    `ranked` are ids, best first; `relevant` gives each relevant id its gain. 0.0 if nothing is relevant.
    """
    gains = [relevant.get(one, 0.0) for one in ranked[:k]]
    best = _discounted(sorted(relevant.values(), reverse=True)[:k])
    return _discounted(gains) / best if best else 0.0


def recall_at_k(ranked: Sequence[str], relevant: Set[str], k: int) -> float:
    """The share of the relevant ids among the first k. 0.0 where nothing is relevant."""
    return len(relevant & set(ranked[:k])) / len(relevant) if relevant else 0.0


def mrr(ranked: Sequence[str], relevant: Set[str]) -> float:
    """One divided by the rank of the first relevant id; 0.0 if there is none. The mean over questions is the MRR."""
    return next((1.0 / rank for rank, one in enumerate(ranked, start=1) if one in relevant), 0.0)


def token_f1(answer: str, expected: str) -> float:
    """Harmonic mean of the precision and recall of words, as in SQuAD, without its dropping of articles."""
    given, wanted = Counter(words(answer)), Counter(words(expected))
    shared = (given & wanted).total()
    if not shared:
        return float(given == wanted)
    precision, recall = shared / given.total(), shared / wanted.total()
    return 2 * precision * recall / (precision + recall)


def containment(part: str, whole: str) -> float:
    """The share of the words of `part`, counted as often as they occur, that `whole` has. 0.0 for an empty part."""
    needed = Counter(words(part))
    return (needed & Counter(words(whole))).total() / needed.total() if needed else 0.0


def words(text: str) -> list[str]:
    """Lower-case words and numbers; `2.5` and `08:30` are one each."""
    return SCORED_WORD.findall(text.casefold())


def _discounted(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))
