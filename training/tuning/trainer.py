"""What all trainings by trl share: base weights and adapter, the trainer's arguments, counting, and progress."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, prepare_model_for_kbit_training
from transformers import AutoModelForCausalLM, TrainerCallback

from training.config import LoraSettings
from training.errors import Cancelled
from training.progress import MustStop, Progress, RunProgress
from training.tuning import checkpoints

ADAPTER = "adapter"


class Counting:
    """What trl's trainers have in common here: a mixin that counts, and writes no model card.

    `trained_tokens` counts the tokens that were trained on, without padding, in `trained_seconds`. Both are in each
    step's log, so that a resumed training goes on counting. `measure` gives loss and accuracy of held-out rows, and is
    called at each checkpoint.
    """

    trained_tokens = 0
    trained_seconds = 0.0
    measure: Callable[[], tuple[float, float]] | None = None
    _fresh_tokens, _ticked = 0, 0.0

    def take_up(self) -> None:
        """Continue counting where the checkpoint stopped."""
        history: list[dict[str, Any]] = self.state.log_history  # type: ignore[attr-defined]
        last: dict[str, Any] = next((one for one in reversed(history) if "trained_tokens" in one), {})
        self.trained_tokens, self.trained_seconds = last.get("trained_tokens", 0), last.get("trained_seconds", 0.0)
        self._ticked = time.monotonic()

    def any_process(self: Any, said: bool) -> bool:
        """Whether one of the processes says so: then all of them do the same at the same step."""
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
        """Counts the tokens of every process."""
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
        """Writes none: a version has a manifest."""


def load_base(base: Path, settings: LoraSettings) -> Any:
    """The base weights, loaded for training on the hardware that is set."""
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
    """Reports the progress of each step and checkpoint, and ends the training when it is cancelled."""

    def __init__(self, trainer: Counting, folder: Path, progress: Progress, cancelled: MustStop) -> None:
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
