"""LoRA by trl and peft, on prompt and completion rows.

Measured on two cores without a matrix unit, with a model of 135 million weights and 4 rows of 448 tokens: bf16 base
weights under fp32 adapters, only the answer's tokens through the 49,152-word head, and the attention written out
(`eager`: torch's fused attention in bf16 takes a third of a step on a CPU) train 425 tokens/s; the same in fp32 with
bf16 autocast and fused attention 271. benchmarks/training_speed.py compares with trl as it comes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset as Table
from datasets.utils.logging import disable_progress_bar
from peft import get_peft_model
from torch.nn.functional import cross_entropy
from transformers import AutoTokenizer, PrinterCallback
from trl import SFTConfig, SFTTrainer

from training.answer_tokens import answer_logits, tokenize
from training.config import LoraSettings
from training.errors import InvalidDataset
from training.model import TrainingRow
from training.progress import MustStop, Progress
from training.tuning import checkpoints
from training.tuning.results import LoraResult
from training.tuning.sampling import EpochSampler
from training.tuning.trainer import ADAPTER, Counting, Watch, adapter_config, load_base, trainer_arguments

ROWS_MADE = {"dataset_kwargs": {"skip_prepare_dataset": True}}


def train_adapter(
    base: Path,
    rows: Sequence[TrainingRow],
    held_out: Sequence[TrainingRow],
    settings: LoraSettings,
    folder: Path,
    progress: Progress,
    cancelled: MustStop,
) -> LoraResult:
    """Train an adapter for the weights in `base` and write it to `folder/adapter`; checkpoints are written beside it.

    The base weights stay unchanged. If the folder holds a checkpoint of an earlier attempt, training continues from it:
    the same rows in the same order give the same weights as a training that was never interrupted. Progress is reported
    at each step (step, steps, loss, tokens a second and seconds left) and at each checkpoint.

    Raises Cancelled at the first step after `cancelled()` says so, when that step's checkpoint is written;
    InvalidDataset if no row fits `max_length`; OutOfRange if the hardware cannot share a step's rows.
    """
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(base)
    table, arguments = _table(rows, tokenizer, settings), SFTConfig(**trainer_arguments(settings, folder), **ROWS_MADE)
    model = get_peft_model(load_base(base, settings), adapter_config(settings))
    loss_before, _ = answer_loss(model, tokenizer, held_out, settings)
    trainer = AnswerTrainer(model, arguments, train_dataset=table, processing_class=tokenizer)
    trainer.remove_callback(PrinterCallback)
    trainer.measure = lambda: answer_loss(model, tokenizer, held_out[: settings.validation_rows], settings)
    trainer.add_callback(Watch(trainer, folder, progress, cancelled))
    reached = checkpoints.newest(folder)
    trainer.train(resume_from_checkpoint=str(reached) if reached else None)
    model.save_pretrained(folder / ADAPTER)
    loss_after, _ = answer_loss(model, tokenizer, held_out, settings)
    history = checkpoints.history(trainer.state.log_history)
    return LoraResult(
        adapter=folder / ADAPTER,
        loss_before=loss_before,
        loss_after=loss_after,
        train_losses=tuple(step.train_loss for step in history),
        steps=trainer.state.global_step,
        tokens=trainer.trained_tokens,
        seconds=trainer.trained_seconds,
        history=history,
    )


class AnswerTrainer(Counting, SFTTrainer):  # type: ignore[misc]
    """trl's trainer, but on a CPU the loss projects only the answer's positions onto the vocabulary.

    trl does this by itself where Triton runs. Rows are padded on the right, so causal attention needs no mask.
    """

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        self._fresh_tokens += int(inputs["attention_mask"].sum())
        if return_outputs or inputs["input_ids"].device.type != "cpu" or self.accelerator.num_processes > 1:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.args.bf16):
            logits, labels = answer_logits(model, inputs["input_ids"], inputs["labels"])
        self._metrics["train"]["mean_token_accuracy"].append(_share_right(logits, labels))
        loss = cross_entropy(logits.float(), labels, reduction="sum")
        return loss / (num_items_in_batch if num_items_in_batch is not None else max(1, labels.numel()))

    def _get_train_sampler(self, *_: Any) -> EpochSampler:
        rows = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        return EpochSampler(rows, self.train_dataset["length"], self.args.seed, lambda: int(self.state.epoch or 0))


@torch.no_grad()
def answer_loss(model: Any, tokenizer: Any, rows: Sequence[TrainingRow], settings: LoraSettings) -> tuple[float, float]:
    """Mean loss of the rows' answer tokens in nats, and the share of them that are ranked first; NaN without rows."""
    model.eval()
    total, right, count = 0.0, 0.0, 0
    for row in rows:
        tokens = tokenize(row, tokenizer)
        ids = torch.tensor([tokens["input_ids"][: settings.max_length]], device=model.device)
        labels = torch.tensor([tokens["labels"][: settings.max_length]], device=model.device)
        with torch.autocast(model.device.type, dtype=torch.bfloat16):
            logits, wanted = answer_logits(model, ids, labels)
        total += float(cross_entropy(logits.float(), wanted, reduction="sum"))
        right += _share_right(logits, wanted) * wanted.numel()
        count += wanted.numel()
    return (total / count, right / count) if count else (math.nan, math.nan)


def _share_right(logits: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((logits.argmax(-1) == wanted).float().mean()) if wanted.numel() else 0.0


def _table(rows: Sequence[TrainingRow], tokenizer: Any, settings: LoraSettings) -> Table:
    encoded = [tokenize(row, tokenizer) for row in rows]
    fitting = [row for row in encoded if len(row["input_ids"]) <= settings.max_length]
    if not fitting:
        raise InvalidDataset(f"No training row fits {settings.max_length} tokens; raise max_length.")
    return Table.from_list([{**row, "length": len(row["input_ids"])} for row in fitting])
