"""The order in which rows are trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from transformers.trainer_pt_utils import LengthGroupedSampler


class EpochSampler(LengthGroupedSampler):  # type: ignore[misc]
    """Puts rows of similar length together, in an order that depends only on seed and epoch.

    transformers draws the order from the process's random state, which a resumed process does not have: the rest of an
    epoch would train some rows twice and others never. `step_rows` are the rows of one step.
    """

    def __init__(self, step_rows: int, lengths: Sequence[int], seed: int, epoch: Callable[[], int]) -> None:
        super().__init__(step_rows, lengths=list(lengths))
        self._seed, self._epoch = seed, epoch

    def __iter__(self) -> Iterator[int]:
        self.generator = torch.Generator().manual_seed(self._seed + self._epoch())
        return super().__iter__()  # type: ignore[no-any-return]
