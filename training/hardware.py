"""The hardware of a training (a CPU, one GPU, or several), and its settings for trl, transformers and accelerate.

The weights learn the same on each: the effective batch (rows per process and step, times accumulated steps, times
processes) does not depend on the device.

With GPUs, a training runs in its own processes (training.tuning.distributed), which see only the GPUs that they use:
transformers takes every GPU that a process sees, and a process frees its GPU memory only when it ends.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from training.errors import OutOfRange

Device = Literal["cpu", "cuda"]
Quantization = Literal["none", "4bit"]
ROWS_AT_ONCE: dict[Device, int] = {"cpu": 4, "cuda": 8}
"""Most rows that one process takes in one pass; on a CPU more rows are no faster (docs/experiments.md)."""
MOST_PROCESSES = 64
VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Hardware:
    """`quantization` 4bit is QLoRA: the base weights in NF4, the adapter in full precision; it needs a GPU and
    bitsandbytes.

    Each of the `processes` has a copy of the model, on its own GPU. `gpus` are their names as CUDA_VISIBLE_DEVICES has
    them; without names the first ones are taken. `own_process` asks for a separate process on a CPU too: this is for
    machines whose GPUs must not be used.
    """

    device: Device = "cpu"
    quantization: Quantization = "none"
    processes: int = 1
    gpus: tuple[str, ...] = ()
    own_process: bool = False

    def __post_init__(self) -> None:
        if self.quantization == "4bit" and self.device == "cpu":
            raise OutOfRange("train_quantization is 4bit, which needs a GPU; on a CPU set it to none.")
        if not 1 <= self.processes <= MOST_PROCESSES:
            raise OutOfRange(f"train_processes is {self.processes}; it must lie between 1 and {MOST_PROCESSES}.")

    @property
    def trains_apart(self) -> bool:
        """Whether a training runs in separate processes."""
        return self.own_process or self.device == "cuda" or self.processes > 1

    def environment(self) -> dict[str, str]:
        """The environment of a training's processes: the GPUs that they see."""
        if self.device == "cpu":
            return {VISIBLE_DEVICES: ""}
        return {VISIBLE_DEVICES: ",".join(self.gpus or map(str, range(self.processes)))}

    def batches(self, rows: int, passes: int = 1) -> tuple[int, int]:
        """Rows a process and pass, and passes a step, for `rows` times `passes` rows a step in all.

        One pass takes at most `rows`, and at most what is fast on the hardware. Raises OutOfRange if they cannot be
        shared evenly.
        """
        each, rest = divmod(rows * passes, self.processes)
        if rest or not each:
            raise OutOfRange(
                f"A batch of {rows * passes} rows cannot be shared by {self.processes} processes; set a batch_size "
                f"that is a multiple of {self.processes}."
            )
        most = min(rows, ROWS_AT_ONCE[self.device])
        at_once = max(size for size in range(1, most + 1) if each % size == 0)
        return at_once, each // at_once

    def training_arguments(self, rows: int, passes: int = 1, gradient_checkpointing: bool = False) -> dict[str, Any]:
        """The part of trl's SFTConfig that depends on the hardware; `rows` and `passes` as in `batches`.

        With 4bit, activations are always computed again in the backward pass.
        """
        at_once, accumulated = self.batches(rows, passes)
        arguments = {
            "use_cpu": self.device == "cpu",
            "bf16": True,
            "per_device_train_batch_size": at_once,
            "gradient_accumulation_steps": accumulated,
            "gradient_checkpointing": gradient_checkpointing or self.quantization == "4bit",
        }
        return arguments | ({"ddp_find_unused_parameters": False} if self.processes > 1 else {})

    def model_arguments(self, local_rank: int = 0) -> dict[str, Any]:
        """The arguments for `from_pretrained`; `local_rank` is the process's number on this machine.

        On a CPU attention is the eager kind: torch's fused one in bf16 takes a third of a step there.
        """
        if self.device == "cpu":
            return {"dtype": "bfloat16", "attn_implementation": "eager"}
        arguments: dict[str, Any] = {
            "dtype": "bfloat16",
            "attn_implementation": "sdpa",
            "device_map": {"": local_rank},
        }
        if self.quantization == "4bit":
            arguments["quantization_config"] = {
                "quant_method": "bitsandbytes",
                "load_in_4bit": True,
                "bnb_4bit_quant_type": "nf4",
                "bnb_4bit_use_double_quant": True,
                "bnb_4bit_compute_dtype": "bfloat16",
            }
        return arguments

    def command(self, module: str, *arguments: str) -> tuple[str, ...]:
        """The command that runs a module in all processes of one training.

        accelerate starts several processes, on a CPU too: of its launchers on one machine only that of `--multi_gpu`
        starts several, and `use_cpu` keeps them off any GPU.
        """
        if self.processes == 1:
            return (sys.executable, "-m", module, *arguments)
        start = (sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu")
        launch = (*start, "--num_processes", str(self.processes))
        fixed = ("--num_machines", "1", "--mixed_precision", "bf16", "--dynamo_backend", "no")
        return (*launch, *fixed, "--main_process_port", "0", "--module", module, *arguments)


def visible_gpus(environment: Mapping[str, str], count: int) -> tuple[str, ...]:
    """The names of the `count` GPUs that torch sees, in its order, as CUDA_VISIBLE_DEVICES has them.

    They are the first of the list that an operator set (numbers, or ids of GPUs or of their parts), else numbers.
    """
    named = [name.strip() for name in environment.get(VISIBLE_DEVICES, "").split(",") if name.strip()]
    return tuple(named[:count]) if named else tuple(map(str, range(count)))


def choose(
    device: Literal["auto", "cpu", "cuda"], quantization: Quantization, processes: int, gpus: Sequence[str]
) -> Hardware:
    """The hardware that the settings ask for, on a machine with `gpus` that torch can use. The first of them are taken.

    Raises OutOfRange for what this machine does not have.
    """
    if device == "cuda" and not gpus:
        raise OutOfRange("train_device is cuda, but torch sees no GPU here; set it to auto or cpu.")
    if not gpus or device == "cpu":
        return Hardware("cpu", quantization, processes, own_process=bool(gpus))
    if processes > len(gpus):
        raise OutOfRange(f"train_processes is {processes}, but torch sees {len(gpus)} GPUs here; set it no higher.")
    return Hardware("cuda", quantization, processes, tuple(gpus[:processes]))
