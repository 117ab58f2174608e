"""What a training runs on: a CPU, one GPU, or several; and what that means for trl, transformers and accelerate.

The weights learn the same on each: the effective batch (rows a process and step, times accumulated steps, times
processes) does not depend on the device.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Literal

from training.errors import OutOfRange

Device = Literal["cpu", "cuda"]
Quantization = Literal["none", "4bit"]
ROWS_AT_ONCE: dict[Device, int] = {"cpu": 4, "cuda": 8}
"""Most rows that one process takes in one pass; on a CPU more of them are no faster (docs/experiments.md)."""
MOST_PROCESSES = 64


@dataclass(frozen=True)
class Hardware:
    """`quantization` 4bit is QLoRA: the base weights in NF4, the adapter in full; it needs a GPU and bitsandbytes.

    Each of the `processes` has a copy of the model, on a GPU of its own.
    """

    device: Device = "cpu"
    quantization: Quantization = "none"
    processes: int = 1

    def __post_init__(self) -> None:
        if self.quantization == "4bit" and self.device == "cpu":
            raise OutOfRange("train_quantization is 4bit, which needs a GPU; on a CPU set it to none.")
        if not 1 <= self.processes <= MOST_PROCESSES:
            raise OutOfRange(f"train_processes is {self.processes}; it must lie between 1 and {MOST_PROCESSES}.")

    def batches(self, effective: int) -> tuple[int, int]:
        """Rows a process and pass, and passes a step, for `effective` rows a step in all.

        Raises OutOfRange where they cannot be shared evenly.
        """
        each, rest = divmod(effective, self.processes)
        if rest or not each:
            raise OutOfRange(
                f"A batch of {effective} rows cannot be shared by {self.processes} processes; set a batch_size that is "
                f"a multiple of {self.processes}."
            )
        rows = max(size for size in range(1, ROWS_AT_ONCE[self.device] + 1) if each % size == 0)
        return rows, each // rows

    def training_arguments(self, effective: int) -> dict[str, Any]:
        """The part of trl's SFTConfig that depends on the hardware."""
        rows, passes = self.batches(effective)
        arguments = {
            "use_cpu": self.device == "cpu",
            "bf16": True,
            "per_device_train_batch_size": rows,
            "gradient_accumulation_steps": passes,
            "gradient_checkpointing": self.quantization == "4bit",
        }
        return arguments | ({"ddp_find_unused_parameters": False} if self.processes > 1 else {})

    def model_arguments(self, local_rank: int = 0) -> dict[str, Any]:
        """What `from_pretrained` gets; `local_rank` is the process's number on this machine.

        On a CPU the attention is written out: torch's fused one in bf16 takes a third of a step there.
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

        On a CPU too: of accelerate's launchers on one machine only that of `--multi_gpu` starts several processes, and
        `use_cpu` keeps them off any GPU.
        """
        start = (sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu")
        launch = (*start, "--num_processes", str(self.processes))
        fixed = ("--num_machines", "1", "--mixed_precision", "bf16", "--dynamo_backend", "no")
        return (*launch, *fixed, "--main_process_port", "0", "--module", module, *arguments)


def choose(
    device: Literal["auto", "cpu", "cuda"], quantization: Quantization, processes: int, cuda_devices: int
) -> Hardware:
    """The hardware that settings ask for, on a machine with `cuda_devices` GPUs that torch can use.

    Raises OutOfRange for what this machine does not have.
    """
    if device == "cuda" and not cuda_devices:
        raise OutOfRange("train_device is cuda, but torch sees no GPU here; set it to auto or cpu.")
    found: Device = "cuda" if cuda_devices and device != "cpu" else "cpu"
    if found == "cuda" and processes > cuda_devices:
        raise OutOfRange(f"train_processes is {processes}, but torch sees {cuda_devices} GPUs here; set it no higher.")
    return Hardware(found, quantization, processes)
