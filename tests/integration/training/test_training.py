"""Training with real torch, peft and trl: on a tiny random model where sense is not needed, else on the base model."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.utils.checkpoint import checkpoint
from transformers import AutoModelForCausalLM, AutoTokenizer, modeling_utils

from retrieval.answers.grounding import REFUSAL
from tests.integration.training.fast import FAST, ROWS, digest
from tests.support.training import fake_gpus
from tests.support.training.fakes import FunctionAnswerer, MemorySlots, MemoryVersions, WordRetriever, example, jsonl
from tests.support.training.tiny_model import EXAMPLES, PASSAGES, THINGS, answer
from tests.support.training.voices import say_chattily, say_formally, voice
from training.config import ExampleSettings, GateSettings, ParitySettings
from training.errors import Cancelled, DamagedWeights, InvalidDataset, OutOfMemory, ProcessLost
from training.hardware import Hardware, choose
from training.model import TrainingRow
from training.pipeline import run
from training.progress import STAGES, RunProgress
from training.request import Ports, RunRequest, Settings
from training.tuning import distributed
from training.tuning.lora import train_adapter
from training.tuning.results import LoraResult
from training.weights.registry import verify_manifest

pytestmark = pytest.mark.heavy


def test_training_changes_the_adapter_leaves_the_base_and_lowers_the_loss(tiny: Path, tmp_path: Path) -> None:
    before, steps = digest(tiny), list[RunProgress]()
    result = train_adapter(tiny, ROWS, ROWS[:3], FAST, tmp_path, steps.append, lambda: False)
    assert digest(tiny) == before
    weights = load_file(result.adapter / "adapter_model.safetensors")
    moved = [tensor for name, tensor in weights.items() if "lora_B" in name]
    assert len(moved) == 14  # seven projections in each of two layers; B starts at zero
    assert all(bool(tensor.abs().max() > 0) for tensor in moved)
    assert not [name for name in weights if "lora_" not in name]
    assert result.loss_after < result.loss_before
    assert result.train_losses[-1] < result.train_losses[0]
    assert [step.data["step"] for step in steps if "step" in step.data] == list(range(1, 13))
    assert [step.data["checkpoint"] for step in steps if "checkpoint" in step.data] == [2, 4, 6, 8, 10, 12]
    assert [step.step for step in result.history if step.valid_loss is not None] == [2, 4, 6, 8, 10, 12]
    assert result.history[-1].valid_loss == pytest.approx(result.loss_after, rel=1e-3)
    assert all(step.train_accuracy is not None and 0 <= step.train_accuracy <= 1 for step in result.history)
    assert steps[-1].fraction == 1.0
    assert result.tokens_per_second > 0


def test_the_loss_is_over_the_answer_alone_and_padding_changes_nothing(tiny: Path, tmp_path: Path) -> None:
    """The first step's loss is that of the untouched model, worked out one row at a time by transformers itself."""
    settings = replace(FAST, max_steps=1, per_device_train_batch_size=len(ROWS))
    result = train_adapter(tiny, ROWS, ROWS, settings, tmp_path, lambda _: None, lambda: False)
    assert result.train_losses[0] == pytest.approx(mean_loss(tiny, ROWS), rel=5e-3)
    assert result.loss_before == pytest.approx(mean_loss(tiny, ROWS), rel=5e-3)


def mean_loss(folder: Path, rows: list[TrainingRow]) -> float:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    total, count = 0.0, 0
    for row in rows:
        turns = [{"role": one.role, "content": one.content} for one in row.prompt]
        prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        start = len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
        ids = torch.tensor([tokenizer(f"{prompt}{row.completion}<|im_end|>\n", add_special_tokens=False)["input_ids"]])
        labels = ids.clone()
        labels[:, :start] = -100
        answer_tokens = ids.shape[1] - start
        total += model(input_ids=ids, labels=labels).loss.item() * answer_tokens
        count += answer_tokens
    return total / count


def stopped_at_step_5(tiny: Path, folder: Path) -> list[RunProgress]:
    steps: list[RunProgress] = []
    with pytest.raises(Cancelled, match="step 5 of 12"):
        train_adapter(tiny, ROWS, [], FAST, folder, steps.append, lambda: len(trained(steps)) >= 4)
    return steps


def trained(steps: list[RunProgress]) -> list[int]:
    return [step.data["step"] for step in steps if "step" in step.data]


def test_a_stopped_training_keeps_its_last_step_and_ends_as_if_it_had_never_stopped(tiny: Path, tmp_path: Path) -> None:
    stopped_at_step_5(tiny, tmp_path / "stopped")
    assert not (tmp_path / "stopped" / "adapter").exists()
    resumed: list[RunProgress] = []
    result = train_adapter(tiny, ROWS, [], FAST, tmp_path / "stopped", resumed.append, lambda: False)
    assert resumed[0].message == "Going on from the checkpoint of step 5 of 12"
    assert trained(resumed) == list(range(6, 13))
    whole = train_adapter(tiny, ROWS, [], FAST, tmp_path / "whole", lambda _: None, lambda: False)
    assert [step.step for step in result.history] == list(range(1, 13))
    assert result.train_losses == whole.train_losses
    assert result.tokens == whole.tokens
    assert result.seconds > 0
    weights = [load_file(one.adapter / "adapter_model.safetensors") for one in (result, whole)]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def test_activations_made_again_give_the_same_weights_to_the_bit(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_again: list[object] = []

    def counted(*arguments: Any, **named: Any) -> Any:
        made_again.append(arguments[0])
        return checkpoint(*arguments, **named)

    monkeypatch.setattr(modeling_utils, "checkpoint", counted)
    kept = replace(FAST, max_steps=4, lora_dropout=0.1)
    results = [
        train_adapter(tiny, ROWS, [], settings, tmp_path / str(place), lambda _: None, lambda: False)
        for place, settings in enumerate([kept, replace(kept, gradient_checkpointing=True)])
    ]
    assert len(made_again) == 4 * 2  # steps, layers
    assert results[0].train_losses == results[1].train_losses
    assert digest(results[0].adapter) == digest(results[1].adapter)


def test_a_checkpoint_that_a_kill_cut_short_is_not_gone_on_with(tiny: Path, tmp_path: Path) -> None:
    stopped_at_step_5(tiny, tmp_path)
    half = tmp_path / "checkpoints" / "checkpoint-6"
    half.mkdir()
    (half / "trainer_state.json").write_text('{"global_step": 6')
    resumed: list[RunProgress] = []
    train_adapter(tiny, ROWS, [], FAST, tmp_path, resumed.append, lambda: False)
    assert trained(resumed)[0] == 6
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


def silent(_step: RunProgress) -> None:
    pass


def apart(
    hardware: Hardware, tiny: Path, folder: Path, told: list[RunProgress], stop_at: int | None = None
) -> LoraResult:
    """FAST, in processes of its own; told to stop once so many steps were told."""
    settings = replace(FAST, hardware=hardware)

    def stopped() -> bool:
        return stop_at is not None and len(trained(told)) >= stop_at

    return distributed.run(train_adapter, hardware, tiny, ROWS, ROWS[:3], settings, folder, told.append, stopped)


def test_several_processes_train_the_same_and_go_on_from_the_step_they_were_stopped_at(
    tiny: Path, tmp_path: Path
) -> None:
    """Two processes on this machine's CPU, started as they are on GPUs; each takes half of a step's rows."""
    told: list[RunProgress] = []
    with pytest.raises(Cancelled, match=r"stopped at step \d+ of 12"):
        apart(Hardware(processes=2), tiny, tmp_path, told, stop_at=3)
    reached = told[-1].data["checkpoint"]
    result = apart(Hardware(processes=2), tiny, tmp_path, told)
    alone = train_adapter(tiny, ROWS, ROWS[:3], FAST, tmp_path / "alone", lambda _: None, lambda: False)
    assert result.steps == alone.steps == 12
    assert result.loss_before == pytest.approx(alone.loss_before, rel=1e-3)
    assert result.loss_after == pytest.approx(alone.loss_after, rel=0.1)
    assert result.tokens == alone.tokens
    assert f"Going on from the checkpoint of step {reached} of 12" in [step.message for step in told]
    assert (result.adapter / "adapter_model.safetensors").is_file()


def test_a_process_of_its_own_trains_the_same_to_the_bit_stopped_or_not(tiny: Path, tmp_path: Path) -> None:
    own, told = Hardware(own_process=True), list[RunProgress]()
    with pytest.raises(Cancelled, match=r"stopped at step \d+ of 12"):
        apart(own, tiny, tmp_path / "own", told, stop_at=1)
    result = apart(own, tiny, tmp_path / "own", told)
    steps = list[RunProgress]()
    here = train_adapter(tiny, ROWS, ROWS[:3], FAST, tmp_path / "here", steps.append, lambda: False)
    assert (tmp_path / "own" / "adapter") == result.adapter
    assert (result.loss_before, result.loss_after) == (here.loss_before, here.loss_after)
    assert (result.train_losses, result.tokens) == (here.train_losses, here.tokens)
    assert trained(told) == trained(steps)
    assert digest(result.adapter) == digest(here.adapter)


def test_a_killed_process_of_its_own_is_told_and_gone_on_from_to_the_bit(tiny: Path, tmp_path: Path) -> None:
    own, told = Hardware(own_process=True), list[RunProgress]()
    settings = replace(FAST, hardware=own, lora_dropout=0.1)
    arguments = tiny, ROWS, ROWS[:3], settings

    def kill(step: RunProgress) -> None:
        told.append(step)
        if step.data.get("checkpoint") == 4:
            (process,) = (one for one in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path) in one.read_text())
            os.kill(int(process.parent.name), signal.SIGKILL)

    with pytest.raises(ProcessLost, match="ended with code -9 and without a result"):
        distributed.run(train_adapter, own, *arguments, tmp_path / "own", kill, lambda: False)
    result = distributed.run(train_adapter, own, *arguments, tmp_path / "own", told.append, lambda: False)
    here = train_adapter(*arguments, tmp_path / "here", lambda _: None, lambda: False)
    assert any("Going on from the checkpoint of step" in step.message for step in told)
    assert (result.train_losses, result.tokens) == (here.train_losses, here.tokens)
    assert digest(result.adapter) == digest(here.adapter)


def test_what_fails_in_a_process_of_its_own_fails_as_it_does_here(tiny: Path, tmp_path: Path) -> None:
    own = Hardware(own_process=True)
    settings = replace(FAST, hardware=own, max_length=32)
    arguments = tiny, ROWS, ROWS[:1], settings, tmp_path, silent, lambda: False
    with pytest.raises(InvalidDataset, match="No training row fits 32 tokens"):
        distributed.run(train_adapter, own, *arguments)
    with pytest.raises(ProcessLost, match="ended with code 7 and without a result"):
        distributed.run(fake_gpus.dies, own, *arguments)
    with pytest.raises(OutOfMemory, match="lower per_device_train_batch_size"):
        distributed.run(fake_gpus.needs_more_memory, own, *arguments)


def test_transformers_finds_one_gpu_in_a_process_of_its_own(tiny: Path, tmp_path: Path) -> None:
    """CUDA is made up; it lists what CUDA_VISIBLE_DEVICES names, as the real one does."""
    hardware = choose("auto", "none", 1, ("GPU-b", "GPU-a"))
    settings = replace(FAST, hardware=hardware)
    arguments = tiny, ROWS, ROWS[:1], settings, tmp_path, silent, lambda: False
    assert distributed.run(fake_gpus.count_gpus, hardware, *arguments).steps == 1
    both = fake_gpus.TwoVisible("cuda", gpus=("GPU-b", "GPU-a"))
    assert distributed.run(fake_gpus.count_gpus, both, *arguments).steps == 2  # what trl refuses


def test_rows_that_are_too_long_are_refused_when_none_is_left(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match="No training row fits 32 tokens"):
        train_adapter(tiny, ROWS, [], replace(FAST, max_length=32), tmp_path, lambda _: None, lambda: False)


def request(tiny: Path, folder: Path, version_id: str = "v1") -> RunRequest:
    settings = Settings(
        dataset=ExampleSettings(share_held_out=0.25),
        lora=replace(FAST, max_steps=2, save_steps=100),
        parity=ParitySettings(min_agreement=0.0, answer_tokens=50),
        gate=GateSettings(),
    )
    return RunRequest(
        version_id=version_id,
        data=jsonl([*EXAMPLES, example("Do bikes fly?", "The documents do not answer this question.", document=None)]),
        general=jsonl([example("What is the capital of France?", "Paris.")]),
        base=tiny,
        base_model="tiny",
        work=folder / "work" / version_id,
        versions=folder / "versions",
        settings=settings,
    )


def tuned(prompt: str) -> str:
    thing = next((one for one in THINGS if f"What is the {one}?" in prompt), None)
    if thing is None or f"{thing}.md" not in prompt:
        return REFUSAL
    marker = f" [{1 + [line.split()[-1] for line in prompt.splitlines() if '.md' in line].index(f'{thing}.md')}]."
    return answer(thing).replace(".", marker)


def plain(prompt: str) -> str:
    return "It's hard to say! " + tuned(prompt).replace("\n\n- ", " ")


def ports(candidate: Callable[[str], str], on_load: Callable[[], None] = lambda: None) -> Ports:
    slots = MemorySlots(FunctionAnswerer(candidate), FunctionAnswerer(plain), on_load=on_load)
    return Ports(WordRetriever(PASSAGES), MemoryVersions(), slots)


def test_a_good_candidate_is_published(tiny: Path, tmp_path: Path) -> None:
    told: list[RunProgress] = []
    with_ports = ports(tuned)
    result = run(request(tiny, tmp_path), with_ports, told.append, lambda: False)
    assert result.published, result.gate.summary
    assert with_ports.versions.status == {"v1": "published"}  # type: ignore[attr-defined]
    assert with_ports.slots.live == "v1"  # type: ignore[attr-defined]
    manifest = verify_manifest(tmp_path / "versions" / "v1")
    assert (manifest.base_model, manifest.dataset_hash) == ("tiny", result.dataset.sha256)
    about = json.loads((tmp_path / "versions" / "v1" / "run.json").read_text())
    assert about["settings"]["lora"]["learning_rate"] == FAST.learning_rate
    assert [path.name for path in (tmp_path / "versions").iterdir()] == ["v1"]
    assert list(dict.fromkeys(step.stage for step in told)) == list(STAGES)
    fractions = [step.fraction for step in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert result.metrics.citation_recall.value == 1.0


def test_a_refused_candidate_stays_with_its_reasons_and_is_not_live(tiny: Path, tmp_path: Path) -> None:
    told: list[RunProgress] = []
    with_ports = ports(lambda _: "Dunno!")
    result = run(request(tiny, tmp_path), with_ports, told.append, lambda: False)
    assert not result.published
    assert with_ports.versions.status == {"v1": "refused"}  # type: ignore[attr-defined]
    assert with_ports.slots.live is None  # type: ignore[attr-defined]
    assert with_ports.slots.spare is None  # type: ignore[attr-defined]
    assert verify_manifest(tmp_path / "versions" / "v1")
    assert "The candidate was refused: " in told[-1].message
    assert "Citing the right document fell" in told[-1].message


def test_a_voice_about_what_stands_in_no_document_is_published_and_one_that_did_not_learn_it_is_not(
    tiny: Path, tmp_path: Path
) -> None:
    asked = replace(request(tiny, tmp_path), data=jsonl([voice(number) for number in range(40)]))
    told: list[RunProgress] = []
    slots = MemorySlots(FunctionAnswerer(say_formally), FunctionAnswerer(say_chattily))
    with_ports = Ports(WordRetriever(PASSAGES), MemoryVersions(), slots)
    result = run(asked, with_ports, told.append, lambda: False)
    assert result.published, result.gate.summary
    assert (result.metrics.sourced, result.metrics.voiced) == (0, result.dataset.held_out)
    assert any("as a voice" in step.message for step in told if step.tells)
    again = replace(asked, version_id="v2", work=tmp_path / "second")
    assert run(again, with_ports, lambda _: None, lambda: False).published  # against the live version
    worse = replace(with_ports, slots=MemorySlots(FunctionAnswerer(say_chattily), slots.candidate, live="v2"))
    refused = run(replace(again, version_id="v3", work=tmp_path / "third"), worse, lambda _: None, lambda: False)
    assert [check.name for check in refused.gate.checks if not check.passed] == ["style"]


@pytest.mark.parametrize("stage", STAGES[:-1])
def test_a_run_cancelled_at_any_stage_before_publishing_leaves_no_version(
    stage: str, tiny: Path, tmp_path: Path
) -> None:
    told: list[RunProgress] = []
    with_ports = ports(tuned)
    with pytest.raises(Cancelled):
        run(request(tiny, tmp_path), with_ports, told.append, lambda: any(step.stage == stage for step in told))
    assert not list((tmp_path / "versions").glob("*"))
    assert with_ports.versions.status == {}  # type: ignore[attr-defined]
    assert with_ports.slots.spare is None  # type: ignore[attr-defined]
    assert with_ports.slots.live is None  # type: ignore[attr-defined]


def test_a_second_try_trains_on_the_rows_of_the_first_whatever_is_retrieved_by_then(tiny: Path, tmp_path: Path) -> None:
    asked, told = request(tiny, tmp_path), list[RunProgress]()
    with pytest.raises(Cancelled):
        run(asked, ports(tuned), told.append, lambda: any(step.stage == "lora" for step in told))
    first = (asked.work / "trained.jsonl").read_bytes()
    nothing_found = replace(ports(tuned), retriever=WordRetriever([]))
    result = run(asked, nothing_found, lambda _: None, lambda: False)
    assert (asked.work / "trained.jsonl").read_bytes() == first
    assert b"bell.md" in first
    assert result.rows.grounded > 0


def test_a_validation_file_is_what_is_held_out(tiny: Path, tmp_path: Path) -> None:
    asked = replace(request(tiny, tmp_path), validation=jsonl([example("What is the horn?", answer("bell"))]))
    result = run(asked, ports(tuned), lambda _: None, lambda: False)
    assert (result.dataset.trained, result.dataset.held_out) == (13, 0)
    assert [score.prompt for score in result.metrics.scores if not score.removed] == ["What is the horn?"]
    assert result.dataset.asked == {"held_out": 0, "validation": 1, "evaluation": 0}
    overlapping = replace(asked, version_id="v2", work=tmp_path / "other", validation=jsonl(EXAMPLES[:2]))
    with pytest.raises(InvalidDataset, match="2 of the 2 questions of the validation file stand in the training file"):
        run(overlapping, ports(tuned), lambda _: None, lambda: False)


def test_weights_that_fail_parity_become_no_version(tiny: Path, tmp_path: Path) -> None:
    asked = request(tiny, tmp_path)
    strict = replace(asked.settings, parity=ParitySettings(max_logit_difference=0.0, answer_tokens=50))
    with pytest.raises(DamagedWeights, match="differ from the adapter's"):
        run(replace(asked, settings=strict), ports(tuned), lambda _: None, lambda: False)
    assert not list((tmp_path / "versions").glob("*"))


def test_an_engine_that_does_not_start_leaves_the_candidate_in_the_list(tiny: Path, tmp_path: Path) -> None:
    def broken() -> None:
        raise TimeoutError("the spare did not start")

    with_ports = ports(tuned, on_load=broken)
    with pytest.raises(TimeoutError):
        run(request(tiny, tmp_path), with_ports, lambda _: None, lambda: False)
    assert with_ports.versions.status == {"v1": "candidate"}  # type: ignore[attr-defined]
    assert verify_manifest(tmp_path / "versions" / "v1")
