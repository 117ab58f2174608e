"""The results of tuning an adapter: its losses, for each step and in total."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StepMetrics:
    """One step of training, on answer tokens. Losses are in nats, accuracies in 0..1; None if they were not
    measured."""

    step: int
    train_loss: float
    train_accuracy: float | None = None
    valid_loss: float | None = None
    valid_accuracy: float | None = None


@dataclass(frozen=True)
class LoraResult:
    """A trained adapter. Losses are means over the held-out rows' answer tokens, in nats, before and after training;
    `tokens` counts trained tokens without padding. `history` has every step, also those before an interruption.
    """

    adapter: Path
    loss_before: float
    loss_after: float
    train_losses: tuple[float, ...]
    steps: int
    tokens: int
    seconds: float
    history: tuple[StepMetrics, ...] = ()

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class PreferenceResult(LoraResult):
    """An adapter trained on preferences. The losses are those of the method, over the held-out rows.

    A reward is `beta` times the log-probability of an answer under the adapter less that under the base weights, in
    nats. Margins are the mean reward of preferred answers less that of rejected ones, over the held-out rows and over
    each step's. `accuracy` is the share of held-out pairs whose preferred answer has the higher reward; None for
    ratings, and if no row was held out.
    """

    margin_after: float = math.nan
    accuracy: float | None = None
    train_margins: tuple[float, ...] = ()
