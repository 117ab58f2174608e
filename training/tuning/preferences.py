"""LoRA on preferences by trl: DPO on pairs of answers, KTO on single rated answers.

The base weights, with the adapter switched off, are the reference, so no second model is held. DPO: Rafailov et al.
2023, arXiv 2305.18290; KTO: Ethayarajh et al. 2024, arXiv 2402.01306, in trl's stable API since it left `experimental`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset as Table
from datasets.utils.logging import disable_progress_bar
from transformers import AutoTokenizer, PrinterCallback
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

from retrieval.model import Message
from training.answer_tokens import tokenize
from training.config import PreferenceSettings
from training.errors import InvalidDataset
from training.model import TrainingRow
from training.progress import MustStop, Progress
from training.tuning import checkpoints
from training.tuning.results import PreferenceResult
from training.tuning.trainer import ADAPTER, Counting, Watch, adapter_config, load_base, trainer_arguments

JUDGED_AT_ONCE = 8


@dataclass(frozen=True)
class PreferencePair:
    """A prompt as the server would send it, and two answers, the first of which is preferred."""

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str


@dataclass(frozen=True)
class RatedAnswer:
    """A prompt as the server would send it, an answer, and whether it is wanted."""

    prompt: tuple[Message, ...]
    completion: str
    label: bool


Row = PreferencePair | RatedAnswer


def train_preferences(
    base: Path,
    rows: Sequence[Row],
    held_out: Sequence[Row],
    settings: PreferenceSettings,
    folder: Path,
    progress: Progress,
    cancelled: MustStop,
) -> PreferenceResult:
    """Train an adapter for the weights in `base` and write it to `folder/adapter`, as `train_adapter` does.

    `dpo` takes pairs; `kto` takes rated answers, and pairs as one wanted and one unwanted answer each. Progress has
    `rewards/margins` and, for `dpo`, `rewards/accuracies` beside the loss. Rows that are too long are left out.

    Raises Cancelled at the first step after `cancelled()` says so. Raises InvalidDataset if no row fits `max_length`,
    if `dpo` gets ratings, or if `kto` has only wanted or only unwanted answers.
    """
    torch.set_num_threads(settings.lora.threads)
    torch.manual_seed(settings.lora.seed)  # the adapter's first weights are drawn before trl sets it
    disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(base)
    train = _fitting(rows, tokenizer, settings)
    _check(train, settings)
    judged = _table(_fitting(held_out, tokenizer, settings))
    trainer = _trainer(base, _table(train), judged, tokenizer, settings, folder)
    trainer.remove_callback(PrinterCallback)
    before = _evaluate(trainer)
    trainer.add_callback(Watch(trainer, folder, progress, cancelled))
    reached = checkpoints.newest(folder)
    trainer.train(resume_from_checkpoint=str(reached) if reached else None)
    trainer.model.save_pretrained(folder / ADAPTER)
    after = _evaluate(trainer)
    history = checkpoints.history(trainer.state.log_history)
    return PreferenceResult(
        adapter=folder / ADAPTER,
        loss_before=before.get("eval_loss", math.nan),
        loss_after=after.get("eval_loss", math.nan),
        train_losses=tuple(step.train_loss for step in history),
        steps=trainer.state.global_step,
        tokens=trainer.trained_tokens,
        seconds=trainer.trained_seconds,
        history=history,
        margin_after=after.get("eval_rewards/margins", math.nan),
        accuracy=after.get("eval_rewards/accuracies"),
        train_margins=_margins(trainer.state.log_history),
    )


def pairs_of(rows: Sequence[TrainingRow]) -> list[PreferencePair]:
    """The rows that have a rejected answer, as pairs."""
    return [PreferencePair(row.prompt, row.completion, row.rejected) for row in rows if row.rejected is not None]


class _Stepping(Counting):
    """Counts the tokens of each step."""

    def training_step(self, model: Any, inputs: dict[str, Any], *rest: Any, **named: Any) -> Any:
        self._fresh_tokens += int(inputs["attention_mask"].sum())
        return super().training_step(model, inputs, *rest, **named)  # type: ignore[misc]


class PairTrainer(_Stepping, DPOTrainer):  # type: ignore[misc]
    """trl's DPO."""


class RatingTrainer(_Stepping, KTOTrainer):  # type: ignore[misc]
    """trl's KTO."""


def _margins(log: Sequence[dict[str, Any]]) -> tuple[float, ...]:
    """The margins of the steps that have one."""
    return tuple(entry["rewards/margins"] for entry in log if "rewards/margins" in entry)


def _trainer(
    base: Path, train: Table, judged: Table | None, tokenizer: Any, settings: PreferenceSettings, folder: Path
) -> Any:
    arguments = trainer_arguments(settings.lora, folder)
    arguments |= {"beta": settings.beta, "per_device_eval_batch_size": JUDGED_AT_ONCE}
    trainer, config = (PairTrainer, DPOConfig) if settings.method == "dpo" else (RatingTrainer, KTOConfig)
    if settings.method == "kto":
        arguments |= _weights(train["label"])
    return trainer(
        load_base(base, settings.lora),
        args=config(**arguments),
        train_dataset=train,
        eval_dataset=judged,
        processing_class=tokenizer,
        peft_config=adapter_config(settings.lora),
    )


def _weights(labels: Sequence[bool]) -> dict[str, float]:
    """Weights with which wanted and unwanted answers count the same, as equation 8 of the KTO paper requires."""
    wanted = sum(labels)
    unwanted = len(labels) - wanted
    return {
        "desirable_weight": max(1.0, unwanted / wanted),
        "undesirable_weight": max(1.0, wanted / unwanted),
    }


def _evaluate(trainer: Any) -> dict[str, float]:
    return dict(trainer.evaluate()) if trainer.eval_dataset is not None else {}


def _fitting(rows: Sequence[Row], tokenizer: Any, settings: PreferenceSettings) -> list[Row]:
    """The method's rows that are not too long."""
    most = settings.lora.max_length
    made = [one for row in rows for one in (_rated(row) if settings.method == "kto" else [row])]
    fitting = [row for row in made if all(_length(row, text, tokenizer) <= most for text in _completions(row))]
    if settings.method == "kto":  # each batch pairs a prompt with its neighbour's answer, to estimate the divergence
        random.Random(settings.lora.seed).shuffle(fitting)
    return fitting


def _check(rows: Sequence[Row], settings: PreferenceSettings) -> None:
    if not rows:
        raise InvalidDataset(f"No preference fits {settings.lora.max_length} tokens; raise max_length.")
    if settings.method == "dpo" and not all(isinstance(row, PreferencePair) for row in rows):
        raise InvalidDataset("The method 'dpo' learns from pairs; single ratings are for the method 'kto'.")
    if settings.method == "kto" and len({row.label for row in rows if isinstance(row, RatedAnswer)}) < 2:
        raise InvalidDataset("All answers have the same rating, so nothing is preferred; rate some the other way.")


def _rated(row: Row) -> list[Row]:
    if isinstance(row, RatedAnswer):
        return [row]
    return [RatedAnswer(row.prompt, row.chosen, True), RatedAnswer(row.prompt, row.rejected, False)]


def _completions(row: Row) -> tuple[str, ...]:
    return (row.chosen, row.rejected) if isinstance(row, PreferencePair) else (row.completion,)


def _length(row: Row, completion: str, tokenizer: Any) -> int:
    return len(tokenize(TrainingRow(row.prompt, completion, "plain"), tokenizer)["input_ids"])


def _table(rows: Sequence[Row]) -> Table | None:
    """The rows in trl's conversational form; None if there are none."""
    return Table.from_list([_trl_row(row) for row in rows]) if rows else None


def _trl_row(row: Row) -> dict[str, Any]:
    prompt = [{"role": one.role, "content": one.content} for one in row.prompt]
    if isinstance(row, PreferencePair):
        return {"prompt": prompt, "chosen": _said(row.chosen), "rejected": _said(row.rejected)}
    return {"prompt": prompt, "completion": _said(row.completion), "label": row.label}


def _said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]
