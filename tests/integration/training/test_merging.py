"""Adapters merged into weights, and the parity of both, on real torch and peft."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.integration.training.fast import FAST, ROWS
from training.config import LoraSettings, ParitySettings
from training.errors import DamagedWeights
from training.tuning.lora import train_adapter
from training.weights.merge import merge, parity, same_or_tied

pytestmark = pytest.mark.heavy


def test_merged_weights_of_another_adapter_fail_parity(tiny: Path, tmp_path: Path) -> None:
    result = train_adapter(tiny, ROWS, [], FAST, tmp_path, lambda _: None, lambda: False)
    right = merge(tiny, result.adapter, tmp_path / "right")
    settings = ParitySettings(min_agreement=0.9, answer_tokens=100)
    assert parity(tiny, result.adapter, right, ROWS, settings).passed
    report = parity(tiny, result.adapter, tiny, ROWS, settings)
    assert not report.passed
    assert "differ from the adapter's" in report.message


def test_merging_and_parity_leave_a_gpu_alone(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This torch knows no CUDA, so that whatever is put on a GPU raises."""
    result = train_adapter(tiny, ROWS, [], replace(FAST, max_steps=1), tmp_path, lambda _: None, lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    merged = merge(tiny, result.adapter, tmp_path / "merged")
    settings = ParitySettings(min_agreement=0.0, answer_tokens=50)
    assert parity(tiny, result.adapter, merged, ROWS, settings).passed


def test_first_tokens_that_bf16_cannot_tell_apart_tie() -> None:
    expected = torch.tensor([[16.0, 15.9, 15.7], [-16.0, -15.0, -14.9]])[[0, 0, 0, 1, 1]]
    same, tied = same_or_tied(expected, torch.tensor([0, 1, 2, 1, 0]))
    assert same.tolist() == [True, False, False, False, False]
    assert tied.tolist() == [False, True, False, True, False]


def test_an_adapter_with_broken_numbers_is_not_merged(tiny: Path, tmp_path: Path) -> None:
    result = train_adapter(tiny, ROWS, [], replace(FAST, max_steps=1), tmp_path, lambda _: None, lambda: False)
    weights = load_file(result.adapter / "adapter_model.safetensors")
    save_file(
        {name: torch.full_like(tensor, float("nan")) for name, tensor in weights.items()},
        result.adapter / "adapter_model.safetensors",
    )
    with pytest.raises(DamagedWeights, match="cannot be merged"):
        merge(tiny, result.adapter, tmp_path / "merged")


def test_parity_holds_on_the_base_model(base_weights: Path, tmp_path: Path) -> None:
    settings = LoraSettings(num_train_epochs=2, save_steps=100)
    result = train_adapter(base_weights, ROWS, ROWS[:2], settings, tmp_path, lambda _: None, lambda: False)
    merged = merge(base_weights, result.adapter, tmp_path / "merged")
    report = parity(base_weights, result.adapter, merged, ROWS, ParitySettings(answer_tokens=300))
    assert report.max_logit_difference < 1e-3
    assert report.agreement >= 0.95  # of some 300 tokens; the run asks 0.99 of 2,000
    assert result.loss_after < result.loss_before
    adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base_weights), result.adapter)
    assert adapted.peft_config["default"].r == settings.lora_r
    tokenizer, original = (AutoTokenizer.from_pretrained(folder) for folder in (merged, base_weights))
    assert tokenizer.chat_template == original.chat_template


# The whole recipe
