"""LoRA by trl and peft, on prompt and completion rows.

Measured on two cores without a matrix unit, with a model of 135 million weights and 4 rows of 448 tokens: bf16 base
weights under fp32 adapters, only the answer's tokens through the 49,152-word head, and the attention written out
(`eager`: torch's fused attention in bf16 takes a third of a step on a CPU) train 425 tokens/s; the same in fp32 with
bf16 autocast and fused attention 271. benchmarks/training_speed.py compares with trl as it comes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from datasets import Dataset as Table
from datasets.utils.logging import disable_progress_bar
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from retrieval.model import Message
from training.config import LoraSettings
from training.errors import Cancelled, InvalidDataset
from training.model import Cancelled as IsCancelled
from training.model import LoraResult, Progress, RunProgress, TrainingRow

ADAPTER = "adapter"
IGNORED = -100


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

    The base weights stay as they are. A folder that holds a checkpoint of an earlier try is gone on with. Progress is
    told at each step: step, steps, loss, tokens a second and seconds left.

    Raises Cancelled at the first step after `cancelled()` says so, InvalidDataset where no row fits `max_length`.
    """
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(base)
    table = _table(rows, tokenizer, settings)
    model = get_peft_model(load_base(base), adapter_config(settings))
    loss_before = answer_loss(model, tokenizer, held_out, settings)
    trainer = AnswerTrainer(
        model, SFTConfig(**_arguments(settings, folder)), train_dataset=table, processing_class=tokenizer
    )
    trainer.remove_callback(PrinterCallback)
    watch = Watch(trainer, progress, cancelled)
    trainer.add_callback(watch)
    started = time.monotonic()
    trainer.train(resume_from_checkpoint=last_checkpoint(folder))
    seconds = time.monotonic() - started
    model.save_pretrained(folder / ADAPTER)
    return LoraResult(
        adapter=folder / ADAPTER,
        loss_before=loss_before,
        loss_after=answer_loss(model, tokenizer, held_out, settings),
        train_losses=tuple(watch.losses),
        steps=trainer.state.global_step,
        tokens=trainer.trained_tokens,
        seconds=seconds,
    )


class AnswerTrainer(SFTTrainer):  # type: ignore[misc]
    """trl's trainer, whose loss on a CPU projects the answer's positions alone onto the vocabulary.

    trl does so where Triton runs. Rows are padded on the right, so causal attention needs no mask. `trained_tokens`
    counts what was trained on, without padding.
    """

    trained_tokens = 0

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        self.trained_tokens += int(inputs["attention_mask"].sum())
        if return_outputs or inputs["input_ids"].device.type != "cpu":
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.args.bf16):
            logits, labels = answer_logits(model, inputs["input_ids"], inputs["labels"])
        loss = cross_entropy(logits.float(), labels, reduction="sum")
        return loss / (num_items_in_batch if num_items_in_batch is not None else max(1, labels.numel()))

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """None: a version has a manifest."""


def answer_logits(model: Any, input_ids: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [n, vocabulary] of the n positions whose next token is learned, and those next tokens [n]."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    states = inner.base_model(input_ids=input_ids, use_cache=False).last_hidden_state
    learned = labels[:, 1:] != IGNORED
    return inner.get_output_embeddings()(states[:, :-1][learned]), labels[:, 1:][learned]


@torch.no_grad()
def answer_loss(model: Any, tokenizer: Any, rows: Sequence[TrainingRow], settings: LoraSettings) -> float:
    """Mean loss of the rows' answer tokens in nats; NaN without rows."""
    model.eval()
    total, count = 0.0, 0
    for row in rows:
        tokens = tokenize(row, tokenizer)
        ids = torch.tensor([tokens["input_ids"][: settings.max_length]], device=model.device)
        labels = torch.tensor([tokens["labels"][: settings.max_length]], device=model.device)
        with torch.autocast(model.device.type, dtype=torch.bfloat16):
            logits, wanted = answer_logits(model, ids, labels)
        total += float(cross_entropy(logits.float(), wanted, reduction="sum"))
        count += wanted.numel()
    return total / count if count else float("nan")


def tokenize(row: TrainingRow, tokenizer: Any) -> dict[str, list[int]]:
    """A row as the chat template writes it. Labels are -100 on the prompt; the template's end of turn is learned."""
    prompt = _encode(row.prompt, tokenizer, add_generation_prompt=True)
    whole = _encode([*row.prompt, Message("assistant", row.completion)], tokenizer, add_generation_prompt=False)
    return {"input_ids": whole, "labels": [IGNORED] * len(prompt) + whole[len(prompt) :]}


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


def load_base(base: Path) -> Any:
    """The base weights as they are trained over."""
    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16, attn_implementation="eager")


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
    return {
        "output_dir": str(folder / "checkpoints"),
        "use_cpu": not torch.cuda.is_available(),
        "bf16": True,
        "gradient_checkpointing": False,
        "per_device_train_batch_size": settings.per_device_train_batch_size,
        "gradient_accumulation_steps": settings.gradient_accumulation_steps,
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
        "save_total_limit": 1,
        "seed": settings.seed,
        "report_to": "none",
        "disable_tqdm": True,
    }


def _arguments(settings: LoraSettings, folder: Path) -> dict[str, Any]:
    return {
        **trainer_arguments(settings, folder),
        "train_sampling_strategy": "group_by_length",
        "length_column_name": "length",
        "dataset_kwargs": {"skip_prepare_dataset": True},
    }


def last_checkpoint(folder: Path) -> str | None:
    """Where an earlier try of a run stopped; None where there was none."""
    found = sorted((folder / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    return str(found[-1]) if found else None


class CountsTokens(Protocol):
    """A trainer that knows how many tokens it was trained on, without padding."""

    trained_tokens: int


class Watch(TrainerCallback):  # type: ignore[misc]
    """Tells the progress of each step and ends the training when it is cancelled."""

    def __init__(self, trainer: CountsTokens, progress: Progress, cancelled: IsCancelled) -> None:
        self.losses: list[float] = []
        self._trainer = trainer
        self._progress = progress
        self._cancelled = cancelled
        self._began, self._first_step = 0.0, 0

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        self._began, self._first_step = time.monotonic(), state.global_step

    def on_step_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        if self._cancelled():
            raise Cancelled(f"The training was cancelled at step {state.global_step} of {state.max_steps}.")

    def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        if not logs or "loss" not in logs:
            return
        self.losses.append(logs["loss"])
        seconds = time.monotonic() - self._began
        left = (state.max_steps - state.global_step) * seconds / max(1, state.global_step - self._first_step)
        rate = self._trainer.trained_tokens / seconds
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
