"""What an operator sets for training, and what a job asks for, meet in a run."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from services.kit.settings import Platform
from services.worker.fine_tuning.run import run_settings
from services.worker.settings import TrainingSettings, WorkerSettings
from training.config import LoraSettings, PreferenceSettings
from training.errors import OutOfRange
from training.tuning.trainer import adapter_config, trainer_arguments

OTHER: dict[str, Any] = {
    "lora_r": 32, "lora_alpha": 8, "lora_dropout": 0.1, "learning_rate": 3e-4, "num_train_epochs": 2.0,
    "per_device_train_batch_size": 1, "gradient_accumulation_steps": 16, "gradient_checkpointing": True,
    "max_length": 4096, "warmup_steps": 10, "max_grad_norm": 0.5, "save_steps": 7,
}  # fmt: skip
"""None is the default."""


def lora(training: TrainingSettings, method: str = "supervised", **asked: object) -> LoraSettings:
    job = {"seed": 5, "method": method, "hyperparameters": asked}
    return run_settings(job, Platform(service_token="t", broker_url="memory://"), WorkerSettings(), training).lora


def test_without_settings_a_run_has_the_defaults_of_its_method() -> None:
    usual, by_pairs = LoraSettings(), PreferenceSettings().lora
    made, dpo = lora(TrainingSettings()), lora(TrainingSettings(), "dpo")
    for name in OTHER:
        assert getattr(made, name) == getattr(usual, name) == getattr(TrainingSettings(), name), name
        assert getattr(dpo, name) == getattr(by_pairs, name), name
    assert all(OTHER[name] != getattr(usual, name) for name in OTHER)


def test_every_setting_of_training_reaches_trl_and_peft(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in OTHER.items():
        monkeypatch.setenv(f"TANDEM_TRAINING_{name.upper()}", str(value))
    made = lora(TrainingSettings())
    assert {name: getattr(made, name) for name in OTHER} == OTHER
    arguments, adapter = trainer_arguments(made, tmp_path), adapter_config(made)
    assert (adapter.r, adapter.lora_alpha, adapter.lora_dropout) == (32, 8, 0.1)
    told = {name: arguments[name] for name in OTHER if name in arguments and name != "max_length"}
    assert told == {name: OTHER[name] for name in told}
    assert set(OTHER) - set(told) == {"lora_r", "lora_alpha", "lora_dropout", "max_length"}  # trl cuts; ours leaves out


def test_preferences_have_steps_and_epochs_of_their_own_and_share_the_rest(tmp_path: Path) -> None:
    training = TrainingSettings(learning_rate=5e-4, dpo_learning_rate=5e-6, dpo_num_train_epochs=1.0, lora_r=4)
    made = lora(training, "dpo", learning_rate_multiplier=2)
    assert (made.learning_rate, made.num_train_epochs, made.lora_r) == (1e-5, 1.0, 4)


def test_what_a_job_asks_for_wins_over_the_settings() -> None:
    training = TrainingSettings(**OTHER)
    made = lora(training, n_epochs=5, batch_size=6, learning_rate_multiplier=0.5)
    assert (made.num_train_epochs, made.learning_rate) == (5.0, 3e-4 * 0.5)
    assert (made.per_device_train_batch_size, made.gradient_accumulation_steps) == (1, 6)
    assert lora(training, n_epochs="auto", batch_size="auto").gradient_accumulation_steps == 16
    quick = lora(TrainingSettings(), batch_size=16)
    assert (quick.per_device_train_batch_size, quick.gradient_accumulation_steps) == (16, 1)
    saving = lora(TrainingSettings(per_device_train_batch_size=4, gradient_accumulation_steps=2), batch_size=6)
    assert (saving.per_device_train_batch_size, saving.gradient_accumulation_steps) == (3, 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lora_r", 0), ("lora_alpha", 0), ("lora_dropout", 1.0), ("learning_rate", 0.0), ("num_train_epochs", 0.0),
        ("dpo_learning_rate", 1.0), ("dpo_num_train_epochs", 0.0), ("per_device_train_batch_size", 0),
        ("gradient_accumulation_steps", 0), ("max_length", 16), ("warmup_steps", -1), ("max_grad_norm", -1.0),
        ("save_steps", 0), ("share_general", 2.0), ("min_agreement", 2.0), ("confidence", 2.0), ("repeat_words", 0),
    ],
)  # fmt: skip
def test_what_is_out_of_range_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(OutOfRange, match=f"The setting {name} is {value}; it must lie between"):
        TrainingSettings.model_validate({name: value})


def test_every_field_of_the_adapter_is_a_setting_or_the_job_s() -> None:
    of_the_job = {"seed", "threads", "hardware", "max_steps", "validation_rows"}
    assert {one.name for one in fields(LoraSettings)} - of_the_job == set(OTHER)


def test_a_worker_with_a_setting_out_of_range_ends_at_its_start_and_says_which(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TANDEM_HOME", str(tmp_path))
    monkeypatch.setenv("TANDEM_BROKER_URL", "memory://")
    monkeypatch.setenv("TANDEM_TRAINING_LORA_R", "0")
    command = [sys.executable, "-m", "celery", "-A", "services.worker.app", "worker", "-Q", "train", "--pool", "solo"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode != 0
    assert "OutOfRange: The setting lora_r is 0; it must lie between 1 and 512." in ended.stderr
