"""Training's hardware: what each choice means for trl, transformers and accelerate, and what is refused."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from training.errors import OutOfRange
from training.hardware import ROWS_AT_ONCE, Hardware, choose, visible_gpus


@pytest.mark.parametrize("effective", [1, 2, 6, 16, 24, 64])
@pytest.mark.parametrize(
    "hardware", [Hardware(), Hardware("cuda"), Hardware("cuda", "4bit"), Hardware("cuda", processes=2)]
)
def test_the_effective_batch_is_the_same_on_any_hardware(hardware: Hardware, effective: int) -> None:
    if effective % hardware.processes:
        with pytest.raises(OutOfRange, match="a multiple of 2"):
            hardware.batches(effective)
        return
    rows, passes = hardware.batches(effective)
    assert rows * passes * hardware.processes == effective
    assert rows <= ROWS_AT_ONCE[hardware.device]


def test_rows_that_one_pass_can_take_are_not_accumulated() -> None:
    assert Hardware().batches(4) == (4, 1)
    assert Hardware("cuda").batches(64) == (8, 8)
    assert Hardware("cuda", processes=4).batches(64) == (8, 2)


@pytest.mark.parametrize(
    ("asked", "gpus", "found"),
    [
        (("auto", "none", 1), (), Hardware("cpu")),
        (("auto", "none", 1), ("0", "1"), Hardware("cuda", gpus=("0",))),
        (("auto", "none", 1), ("GPU-b", "GPU-a"), Hardware("cuda", gpus=("GPU-b",))),
        (("cpu", "none", 1), ("0", "1"), Hardware("cpu", own_process=True)),
        (("cuda", "4bit", 2), ("3", "1", "0"), Hardware("cuda", "4bit", 2, gpus=("3", "1"))),
    ],
)
def test_settings_choose_among_what_is_there(
    asked: tuple[Any, Any, Any], gpus: tuple[str, ...], found: Hardware
) -> None:
    assert choose(*asked, gpus) == found


@pytest.mark.parametrize(
    ("asked", "gpus", "message"),
    [
        (("cuda", "none", 1), (), "torch sees no GPU here"),
        (("auto", "4bit", 1), (), "4bit, which needs a GPU"),
        (("auto", "none", 4), ("0", "1"), "torch sees 2 GPUs here"),
        (("cpu", "none", 65), (), "between 1 and 64"),
    ],
)
def test_what_is_not_there_is_refused_in_words(
    asked: tuple[Any, Any, Any], gpus: tuple[str, ...], message: str
) -> None:
    with pytest.raises(OutOfRange, match=message):
        choose(*asked, gpus)


def test_a_cpu_gets_eager_attention_and_no_device_map() -> None:
    assert Hardware().model_arguments() == {"dtype": "bfloat16", "attn_implementation": "eager"}
    arguments = Hardware().training_arguments(2)
    assert (arguments["use_cpu"], arguments["bf16"], arguments["gradient_checkpointing"]) == (True, True, False)


def test_qlora_is_nf4_under_a_bf16_adapter_with_checkpointed_gradients() -> None:
    hardware = Hardware("cuda", "4bit")
    quantized = hardware.model_arguments()["quantization_config"]
    assert (quantized["load_in_4bit"], quantized["bnb_4bit_quant_type"]) == (True, "nf4")
    assert quantized["bnb_4bit_compute_dtype"] == "bfloat16"
    arguments = hardware.training_arguments(16)
    assert (arguments["use_cpu"], arguments["gradient_checkpointing"]) == (False, True)


def test_each_process_has_a_gpu_of_its_own() -> None:
    assert [Hardware("cuda", processes=2).model_arguments(rank)["device_map"] for rank in (0, 1)] == [{"": 0}, {"": 1}]


def test_several_processes_are_started_by_accelerate() -> None:
    command = Hardware("cuda", processes=4).command("training.tuning.distributed", "spec.json")
    assert command[:3] == (sys.executable, "-m", "accelerate.commands.launch")
    assert command[3:6] == ("--multi_gpu", "--num_processes", "4")
    assert command[-3:] == ("--module", "training.tuning.distributed", "spec.json")
    assert Hardware("cuda", processes=4).training_arguments(8)["ddp_find_unused_parameters"] is False


@pytest.mark.parametrize(
    ("operator", "count", "names"),
    [
        ({}, 2, ("0", "1")),
        ({}, 0, ()),
        ({"CUDA_VISIBLE_DEVICES": "2, 3"}, 2, ("2", "3")),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8a,MIG-7b"}, 2, ("GPU-8a", "MIG-7b")),
        ({"CUDA_VISIBLE_DEVICES": "1,-1,0"}, 1, ("1",)),
        ({"CUDA_VISIBLE_DEVICES": ""}, 0, ()),
    ],
)
def test_gpus_have_the_names_that_the_operator_gave(
    operator: dict[str, str], count: int, names: tuple[str, ...]
) -> None:
    assert visible_gpus(operator, count) == names


def test_a_training_sees_as_many_gpus_as_it_has_processes() -> None:
    assert Hardware("cuda", gpus=("GPU-8a",)).environment() == {"CUDA_VISIBLE_DEVICES": "GPU-8a"}
    assert Hardware("cuda", processes=2).environment() == {"CUDA_VISIBLE_DEVICES": "0,1"}
    assert Hardware("cpu", own_process=True).environment() == {"CUDA_VISIBLE_DEVICES": ""}


def test_a_training_has_its_own_process_wherever_there_are_gpus() -> None:
    assert not choose("auto", "none", 1, ()).trains_apart
    assert choose("auto", "none", 2, ()).trains_apart
    assert all(choose(device, "none", 1, ("0", "1")).trains_apart for device in ("auto", "cpu", "cuda"))
    assert Hardware("cuda").command("training.tuning.distributed", "folder") == (
        sys.executable, "-m", "training.tuning.distributed", "folder",
    )  # fmt: skip


def test_a_pass_takes_no_more_rows_than_a_process_was_given() -> None:
    assert Hardware("cuda").batches(1, 16) == (1, 16)
    assert Hardware("cuda", processes=4).batches(2, 8) == (2, 2)
    assert Hardware().batches(16, 4) == (4, 16)


def test_activations_are_made_again_where_it_is_asked_for() -> None:
    assert Hardware("cuda").training_arguments(8)["gradient_checkpointing"] is False
    assert Hardware("cuda").training_arguments(8, 1, gradient_checkpointing=True)["gradient_checkpointing"] is True
