"""The result of comparing an adapter with the merged weights."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ParityReport:
    """Adapter against merged weights.

    `agreement` is the share of `answer_tokens` teacher-forced answer tokens with the same first token. `near_ties` is
    the part of it where another token came first that bf16 cannot tell from it. Both are in 0..1.
    """

    passed: bool
    max_logit_difference: float
    agreement: float
    near_ties: float
    answer_tokens: int
    message: str
