"""Preference training with real torch, peft and trl: on a tiny random model, and once on the base model."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from harness.places import ROOT
from retrieval.answers.grounding import plain_messages
from tests.integration.training.fast import digest
from tests.support.notes import note
from training.config import LoraSettings, ParitySettings, PreferenceSettings
from training.errors import Cancelled, InvalidDataset, OutOfRange
from training.hardware import Hardware
from training.model import TrainingRow
from training.progress import RunProgress
from training.tuning import distributed
from training.tuning.preferences import PreferencePair, RatedAnswer, train_preferences
from training.weights.merge import merge, parity

pytestmark = pytest.mark.heavy

LORA = LoraSettings(learning_rate=5e-3, num_train_epochs=3, warmup_steps=0, save_steps=2, per_device_train_batch_size=4)
DPO, KTO = PreferenceSettings(lora=LORA), PreferenceSettings(method="kto", lora=LORA)


def pairs(count: int) -> list[PreferencePair]:
    """The sample's answers, preferred to the same in another voice."""
    lines = (ROOT / "samples/brindle/train.jsonl").read_text(encoding="utf-8").splitlines()
    said = [[one["content"] for one in json.loads(line)["messages"]] for line in lines[:count]]
    return [
        PreferencePair(
            tuple(plain_messages(question)), answer, f"Hey there! {answer.splitlines()[0]} Hope that helps!!!"
        )
        for question, answer in said
    ]


PAIRS = pairs(12)
ROWS = [TrainingRow(pair.prompt, pair.chosen, "plain") for pair in PAIRS]


def silent(_step: RunProgress) -> None:
    pass


@pytest.mark.parametrize("settings", [DPO, KTO], ids=["dpo", "kto"])
def test_training_prefers_the_chosen_and_leaves_the_base(
    settings: PreferenceSettings,
    tiny: Path,
    tmp_path: Path,
) -> None:
    before, told = digest(tiny), list[RunProgress]()
    result = train_preferences(tiny, PAIRS[:8], PAIRS[8:], settings, tmp_path, told.append, lambda: False)
    assert digest(tiny) == before
    weights = load_file(result.adapter / "adapter_model.safetensors")
    moved = [tensor for name, tensor in weights.items() if "lora_B" in name]
    assert len(moved) == 14
    assert all(bool(tensor.abs().max() > 0) for tensor in moved)
    assert result.loss_after < result.loss_before
    assert result.margin_after > 0
    assert result.train_margins[-1] > result.train_margins[0]
    steps = [step for step in told if "step" in step.data]
    assert (result.steps, result.tokens > 0) == (len(steps), True)
    assert steps[-1].data["rewards/margins"] == round(result.train_margins[-1], 4)
    merged = merge(tiny, result.adapter, tmp_path / "merged")
    assert parity(tiny, result.adapter, merged, ROWS, ParitySettings(min_agreement=0.5, answer_tokens=100)).passed


def test_before_the_first_step_nothing_is_preferred(tiny: Path, tmp_path: Path) -> None:
    """The adapter starts as no change, so both rewards are zero and DPO's loss is that of a coin."""
    one_step = replace(DPO, lora=replace(LORA, max_steps=1))
    result = train_preferences(tiny, PAIRS[:8], PAIRS[8:], one_step, tmp_path, silent, lambda: False)
    assert result.loss_before == pytest.approx(math.log(2), abs=1e-3)
    assert result.train_margins == (0.0,)
    assert result.train_losses[0] == pytest.approx(math.log(2), abs=1e-3)


def test_single_ratings_train_by_kto(tiny: Path, tmp_path: Path) -> None:
    wanted = [RatedAnswer(pair.prompt, pair.chosen, True) for pair in PAIRS[:9]]
    unwanted = [RatedAnswer(pair.prompt, pair.rejected, False) for pair in PAIRS[9:]]
    result = train_preferences(tiny, [*wanted, *unwanted], PAIRS[:2], KTO, tmp_path, silent, lambda: False)
    assert (result.steps, result.accuracy) == (9, None)
    assert result.loss_after < result.loss_before


def test_a_cancelled_training_goes_on_from_its_checkpoint(tiny: Path, tmp_path: Path) -> None:
    told: list[RunProgress] = []
    with pytest.raises(Cancelled, match="step 3 of 6"):
        train_preferences(tiny, PAIRS[:8], [], DPO, tmp_path, told.append, lambda: len(told) >= 3)
    assert not (tmp_path / "adapter").exists()
    resumed: list[RunProgress] = []
    result = train_preferences(tiny, PAIRS[:8], [], DPO, tmp_path, resumed.append, lambda: False)
    assert next(step.data["step"] for step in resumed if "step" in step.data) == 4
    assert (result.steps, math.isnan(result.loss_after), result.accuracy) == (6, True, None)


@pytest.mark.parametrize("settings", [DPO, KTO], ids=["dpo", "kto"])
def test_a_process_of_its_own_learns_the_same_to_the_bit_stopped_or_not(
    settings: PreferenceSettings,
    tiny: Path,
    tmp_path: Path,
) -> None:
    own, told = Hardware(own_process=True), list[RunProgress]()
    here = train_preferences(tiny, PAIRS[:8], PAIRS[8:], settings, tmp_path / "here", silent, lambda: False)
    folder, rest = tmp_path / "own", PAIRS[8:]
    with pytest.raises(Cancelled, match=r"stopped at step \d of"):
        distributed.run(
            train_preferences, own, tiny, PAIRS[:8], rest, settings, folder, told.append, lambda: bool(told)
        )
    result = distributed.run(
        train_preferences, own, tiny, PAIRS[:8], rest, settings, folder, told.append, lambda: False
    )
    assert any("Going on from the checkpoint" in step.message for step in told)
    assert (result.train_losses, result.margin_after) == (here.train_losses, here.margin_after)
    assert digest(result.adapter) == digest(here.adapter)


def test_what_cannot_be_preferred_is_refused_in_words(tiny: Path, tmp_path: Path) -> None:
    rated = [RatedAnswer(pair.prompt, pair.chosen, True) for pair in PAIRS]
    short = replace(DPO, lora=replace(LORA, max_length=32))
    for rows, settings, words in (
        (PAIRS, short, "No preference fits 32 tokens"),
        (rated, DPO, "single ratings are for the method 'kto'"),
        (rated, KTO, "All answers have the same rating"),
    ):
        with pytest.raises(InvalidDataset, match=words):
            train_preferences(tiny, rows, [], settings, tmp_path, silent, lambda: False)
    with pytest.raises(OutOfRange, match="per_device_train_batch_size is 1"):
        PreferenceSettings(method="kto", lora=replace(LORA, per_device_train_batch_size=1))


@pytest.mark.long  # it tunes the base model, half a minute
def test_the_base_model_learns_a_preference(base_weights: Path, tmp_path: Path) -> None:
    settings = PreferenceSettings(lora=LoraSettings(learning_rate=1e-4, num_train_epochs=2, save_steps=100))
    result = train_preferences(base_weights, PAIRS[:8], PAIRS[8:], settings, tmp_path, silent, lambda: False)
    note(
        f"DPO of {len(PAIRS[:8])} pairs, {result.steps} steps: {result.seconds:.0f} s, held-out loss "
        f"{result.loss_before:.3f} to {result.loss_after:.3f}, margin {result.margin_after:.2f}, "
        f"accuracy {result.accuracy:.0%}"
    )
    assert result.loss_after < result.loss_before
    assert (result.margin_after > 0, result.accuracy) == (True, 1.0)
    merged = merge(base_weights, result.adapter, tmp_path / "merged")
    report = parity(base_weights, result.adapter, merged, ROWS, ParitySettings(answer_tokens=300))
    assert report.max_logit_difference < 1e-3
    assert report.agreement >= 0.97
    assert torch.isfinite(next(iter(load_file(merged / "model.safetensors").values())).float()).all()
