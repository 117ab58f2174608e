"""Tunes an embedder with sentence-transformers: each query's passage against the others in its batch and a hard
negative.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from datasets import Dataset as Table
from datasets.utils.logging import disable_progress_bar
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from transformers import PrinterCallback, TrainerCallback

from training.config import EmbedderSettings
from training.embedders.gate import Encode
from training.embedders.pairs import Pair
from training.errors import Cancelled
from training.progress import MustStop

OnStep = Callable[[int, int], None]
TOO_CLOSE = 0.95
"""A passage with more than this share of the right passage's similarity may answer the query too: it is no negative."""


@dataclass(frozen=True)
class Tuned:
    """What a tuning took. `losses` has one loss for each step."""

    steps: int
    seconds: float
    losses: tuple[float, ...]


def hard_negatives(pairs: Sequence[Pair], passages: Sequence[tuple[str, str]], encode: Encode) -> list[str]:
    """For each pair, the passage that the present embedder puts nearest to the query. It must be clearly less near than
    the right one and from another document; if there is none, another pair's passage is taken.

    `passages` are chunk ids with their texts.
    """
    texts = numpy.asarray(encode([text for _, text in passages]), dtype=numpy.float32)
    queries = numpy.asarray(encode([pair.query for pair in pairs]), dtype=numpy.float32)
    rights = numpy.asarray(encode([pair.passage for pair in pairs]), dtype=numpy.float32)
    found = []
    for place, pair in enumerate(pairs):
        similarities, bound = texts @ queries[place], TOO_CLOSE * float(queries[place] @ rights[place])
        order = numpy.argsort(-similarities)
        usable = (passages[at] for at in order if similarities[at] < bound and passages[at][0] != pair.chunk_id)
        found.append(next(usable, (pair.chunk_id, pairs[place - 1].passage))[1])
    return found


def tune(
    base: str,
    pairs: Sequence[Pair],
    negatives: Sequence[str],
    target: Path,
    work: Path,
    settings: EmbedderSettings,
    on_step: OnStep,
    cancelled: MustStop,
) -> Tuned:
    """Train the weights at `base` (a folder or hub id) on the pairs, and write them to the folder `target`.

    `base` stays as it is. Raises Cancelled at the first step after `cancelled()` says so.
    """
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    disable_progress_bar()
    model = SentenceTransformer(base, device="cpu")
    reads, model.max_seq_length = model.max_seq_length, settings.max_length
    columns = {"anchor": [pair.query for pair in pairs], "positive": [pair.passage for pair in pairs]}
    watch = _Watch(on_step, cancelled)
    trainer = SentenceTransformerTrainer(
        model,
        _arguments(settings, work),
        train_dataset=Table.from_dict({**columns, "negative": list(negatives)}),
        loss=MultipleNegativesRankingLoss(model),
        callbacks=[watch],
    )
    trainer.remove_callback(PrinterCallback)
    started = time.monotonic()
    trainer.train()
    seconds = time.monotonic() - started
    model.max_seq_length = reads
    model.save(str(target), create_model_card=False)
    return Tuned(trainer.state.global_step, seconds, tuple(watch.losses))


def _arguments(settings: EmbedderSettings, work: Path) -> SentenceTransformerTrainingArguments:
    return SentenceTransformerTrainingArguments(
        output_dir=str(work / "checkpoints"),
        use_cpu=True,
        per_device_train_batch_size=settings.per_device_train_batch_size,
        learning_rate=settings.learning_rate,
        num_train_epochs=settings.num_train_epochs,
        max_steps=settings.max_steps,
        warmup_steps=settings.warmup_steps,
        lr_scheduler_type="linear",
        batch_sampler="no_duplicates",  # a passage that stands twice in a batch would count against itself
        logging_steps=1,
        save_strategy="no",
        seed=settings.seed,
        report_to="none",
        disable_tqdm=True,
    )


class _Watch(TrainerCallback):  # type: ignore[misc]
    """Reports each step, and ends the training when it is cancelled."""

    def __init__(self, on_step: OnStep, cancelled: MustStop) -> None:
        self.losses: list[float] = []
        self._on_step, self._cancelled = on_step, cancelled

    def on_step_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        if self._cancelled():
            raise Cancelled(f"The training was cancelled at step {state.global_step} of {state.max_steps}.")
        self._on_step(state.global_step, state.max_steps)

    def on_log(self, _args: Any, _state: Any, _control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        if logs and "loss" in logs:
            self.losses.append(float(logs["loss"]))
