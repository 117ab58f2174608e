"""LoRA by trl and peft, on prompt and completion rows.

Measured on two cores without a matrix unit, with a model of 135 million weights and 4 rows of 448 tokens: bf16 base
weights under fp32 adapters, only the answer's tokens through the 49,152-word head, and the attention written out
(`eager`: torch's fused attention in bf16 takes a third of a step on a CPU) train 425 tokens/s; the same in fp32 with
bf16 autocast and fused attention 271. benchmarks/training_speed.py compares with trl as it comes.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset as Table
from datasets.utils.logging import disable_progress_bar
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from retrieval.model import Message
from training.config import LoraSettings
from training.errors import Cancelled, InvalidDataset
from training.model import Cancelled as IsCancelled
from training.model import LoraResult, Progress, RunProgress, TrainingRow
from training.tuning import checkpoints
from training.tuning.sampling import EpochSampler

ADAPTER = "adapter"
IGNORED = -100
ROWS_MADE = {"dataset_kwargs": {"skip_prepare_dataset": True}}


def train_adapter(
    base: Path,
    rows: Sequence[TrainingRow],
    held_out: Sequence[TrainingRow],
    settings: LoraSettings,
    folder: Path,
    progress: Progress,
    cancelled: IsCancelled,
) -> LoraResult:
    """Train an adapter for the weights in `base` and write it to `folder/adapter`; checkpoints go beside it.

    The base weights stay as they are. A folder that holds a checkpoint of an earlier try is gone on with: the same rows
    in the same order give the weights of a training that was never interrupted. Progress is told at each step (step,
    steps, loss, tokens a second and seconds left) and at each checkpoint.

    Raises Cancelled at the first step after `cancelled()` says so, once that step's checkpoint is written;
    InvalidDataset where no row fits `max_length`; OutOfRange where the hardware cannot share a step's rows.
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


class Counting:
    """What trl's trainers have in common here: a mixin that counts, and writes no model card.

    `trained_tokens` counts what was trained on, without padding, in `trained_seconds`; both stand in each step's log,
    so that a resumed training goes on counting. `measure` gives loss and accuracy of held-out rows, asked at each
    checkpoint.
    """

    trained_tokens = 0
    trained_seconds = 0.0
    measure: Callable[[], tuple[float, float]] | None = None
    _fresh_tokens, _ticked = 0, 0.0

    def take_up(self) -> None:
        """Go on counting where the checkpoint stopped."""
        history: list[dict[str, Any]] = self.state.log_history  # type: ignore[attr-defined]
        last: dict[str, Any] = next((one for one in reversed(history) if "trained_tokens" in one), {})
        self.trained_tokens, self.trained_seconds = last.get("trained_tokens", 0), last.get("trained_seconds", 0.0)
        self._ticked = time.monotonic()

    def any_process(self: Any, said: bool) -> bool:
        """Whether one of the processes says so: all of them do the same at the same step then."""
        return bool(self.accelerator.reduce(torch.tensor(int(said), device=self.accelerator.device)))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            self.trained_seconds += time.monotonic() - self._ticked
            self._count_tokens()
            logs |= {"trained_tokens": self.trained_tokens, "trained_seconds": round(self.trained_seconds, 3)}
            logs |= self._validation()
            self._ticked = time.monotonic()
        super().log(logs, start_time)  # type: ignore[misc]

    def _count_tokens(self: Any) -> None:
        """Those of every process."""
        fresh = torch.tensor(self._fresh_tokens, device=self.accelerator.device)
        self.trained_tokens, self._fresh_tokens = self.trained_tokens + int(self.accelerator.reduce(fresh)), 0

    def _validation(self: Any) -> dict[str, float]:
        step, is_last = self.state.global_step, self.state.global_step >= self.state.max_steps
        if not self.measure or not self.args.should_save or not (is_last or step % self.args.save_steps == 0):
            return {}
        loss, accuracy = self.measure()
        self.model.train()
        return {} if math.isnan(loss) else {"valid_loss": loss, "valid_mean_token_accuracy": accuracy}

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """None: a version has a manifest."""


class AnswerTrainer(Counting, SFTTrainer):  # type: ignore[misc]
    """trl's trainer, whose loss on a CPU projects the answer's positions alone onto the vocabulary.

    trl does so where Triton runs. Rows are padded on the right, so causal attention needs no mask.
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


def answer_logits(model: Any, input_ids: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [n, vocabulary] of the n positions whose next token is learned, and those next tokens [n]."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    states = inner.base_model(input_ids=input_ids, use_cache=False).last_hidden_state
    learned = labels[:, 1:] != IGNORED
    return inner.get_output_embeddings()(states[:, :-1][learned]), labels[:, 1:][learned]


@torch.no_grad()
def answer_loss(model: Any, tokenizer: Any, rows: Sequence[TrainingRow], settings: LoraSettings) -> tuple[float, float]:
    """Mean loss of the rows' answer tokens in nats, and the share of them that come first; NaN without rows."""
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


def tokenize(row: TrainingRow, tokenizer: Any) -> dict[str, list[int]]:
    """A row as the chat template writes it. Labels are -100 on the prompt; the template's end of turn is learned."""
    prompt = _encode(row.prompt, tokenizer, add_generation_prompt=True)
    whole = _encode([*row.prompt, Message("assistant", row.completion)], tokenizer, add_generation_prompt=False)
    return {"input_ids": whole, "labels": [IGNORED] * len(prompt) + whole[len(prompt) :]}


def row_length(row: TrainingRow, tokenizer: Any) -> int:
    """A row's tokens; of a preference pair those of the longer answer's."""
    answers = [row.completion] if row.rejected is None else [row.completion, row.rejected]
    said = [[*row.prompt, Message("assistant", answer)] for answer in answers]
    return max(len(_encode(messages, tokenizer, add_generation_prompt=False)) for messages in said)


def _encode(messages: Sequence[Message], tokenizer: Any, add_generation_prompt: bool) -> list[int]:
    turns = [{"role": message.role, "content": message.content} for message in messages]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=add_generation_prompt)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _table(rows: Sequence[TrainingRow], tokenizer: Any, settings: LoraSettings) -> Table:
    encoded = [tokenize(row, tokenizer) for row in rows]
    fitting = [row for row in encoded if len(row["input_ids"]) <= settings.max_length]
    if not fitting:
        raise InvalidDataset(f"No training row fits {settings.max_length} tokens; raise max_length.")
    return Table.from_list([{**row, "length": len(row["input_ids"])} for row in fitting])


def load_base(base: Path, settings: LoraSettings) -> Any:
    """The base weights as they are trained over, on the hardware that is set."""
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))  # accelerate numbers the processes of a machine
    model = AutoModelForCausalLM.from_pretrained(base, **settings.hardware.model_arguments(local_rank))
    return prepare_model_for_kbit_training(model) if settings.hardware.quantization != "none" else model


def adapter_config(settings: LoraSettings) -> LoraConfig:
    return LoraConfig(
        r=settings.lora_r,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def trainer_arguments(settings: LoraSettings, folder: Path) -> dict[str, Any]:
    """What the configurations of all of trl's trainers share."""
    rows, passes = settings.per_device_train_batch_size, settings.gradient_accumulation_steps
    return {
        "output_dir": str(folder / checkpoints.FOLDER),
        **settings.hardware.training_arguments(rows, passes, settings.gradient_checkpointing),
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": settings.warmup_steps,
        "max_grad_norm": settings.max_grad_norm,
        "num_train_epochs": settings.num_train_epochs,
        "max_steps": settings.max_steps,
        "max_length": None,
        "optim": "adamw_torch_fused",
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": settings.save_steps,
        "save_total_limit": 2,  # the last whole one stays while the next is written
        "seed": settings.seed,
        "report_to": "none",
        "disable_tqdm": True,
    }


class Watch(TrainerCallback):  # type: ignore[misc]
    """Tells the progress of each step and checkpoint, and ends the training when it is cancelled."""

    def __init__(self, trainer: Counting, folder: Path, progress: Progress, cancelled: IsCancelled) -> None:
        self._trainer, self._folder = trainer, folder
        self._progress, self._cancelled = progress, cancelled
        self._began, self._first_step, self._is_stopping = 0.0, 0, False

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        self._began, self._first_step = time.monotonic(), state.global_step
        self._trainer.take_up()
        if state.global_step:
            message = f"Going on from the checkpoint of step {state.global_step} of {state.max_steps}"
            self._progress(RunProgress("lora", state.global_step / max(1, state.max_steps), message, tells=True))

    def on_step_end(self, _args: Any, _state: Any, control: Any, **_: Any) -> None:
        if self._trainer.any_process(self._cancelled()):
            self._is_stopping = control.should_save = True

    def on_save(self, args: Any, state: Any, _control: Any, **_: Any) -> None:
        if args.should_save:
            checkpoints.seal(self._folder, state.global_step)
            self._tell_checkpoint(state)
        if self._is_stopping:
            raise Cancelled(f"The training was stopped at step {state.global_step} of {state.max_steps}.")

    def _tell_checkpoint(self, state: Any) -> None:
        metrics = asdict(checkpoints.history(state.log_history)[-1])
        message = f"Kept a checkpoint at step {state.global_step} of {state.max_steps}"
        data = {"checkpoint": state.global_step, "metrics": metrics}
        self._progress(RunProgress("lora", state.global_step / max(1, state.max_steps), message, data))

    def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        if not logs or "loss" not in logs:
            return
        seconds = time.monotonic() - self._began
        left = (state.max_steps - state.global_step) * seconds / max(1, state.global_step - self._first_step)
        rate = self._trainer.trained_tokens / max(self._trainer.trained_seconds, 1e-3)
        message = f"step {state.global_step} of {state.max_steps}, loss {logs['loss']:.3f}, {rate:.0f} tokens/s"
        data = {
            "step": state.global_step,
            "steps": state.max_steps,
            "loss": round(logs["loss"], 4),
            "tokens_per_second": round(rate, 1),
            "eta_seconds": round(left),
            **{name: round(value, 4) for name, value in logs.items() if name.startswith("rewards/")},
        }
        self._progress(RunProgress("lora", state.global_step / max(1, state.max_steps), f"Tuning: {message}", data))
