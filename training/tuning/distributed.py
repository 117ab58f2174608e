"""Runs a training in its own processes, one for each GPU: each sees no other GPU, and frees its memory when it ends.

The calling process never touches a GPU. `python -m training.tuning.distributed FOLDER` is one of the processes; the
first one writes its progress and the result of the training to files in the folder.
"""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, TypeVar

import torch

from training.errors import Cancelled, OutOfMemory, ProcessLost, TrainingError
from training.hardware import Hardware
from training.progress import MustStop, Progress, RunProgress
from training.tuning.results import LoraResult
from training.writing import keep

CALL, PROGRESS, STOP, OUTCOME, SHARED = "call.pickle", "progress.jsonl", "stop", "outcome.pickle", "distributed"
POLL_SECONDS = 0.5
STOP_SECONDS = 60.0
"""A stopped training has this long to finish its step and store it."""
LEAST_FREE_BYTES = 2**20
Row = TypeVar("Row")
Settings = TypeVar("Settings")
Result = TypeVar("Result", bound=LoraResult)
Train = Callable[[Path, Sequence[Row], Sequence[Row], Settings, Path, Progress, MustStop], Result]
"""`training.tuning.lora.train_adapter` or `preferences.train_preferences`: a function at the top level of a module."""


def run(
    train: Train[Row, Settings, Result],
    hardware: Hardware,
    base: Path,
    rows: Sequence[Row],
    held_out: Sequence[Row],
    settings: Settings,
    folder: Path,
    progress: Progress,
    cancelled: MustStop,
) -> Result:
    """What `train` returns for these arguments: from this process, or from as many separate ones as the hardware asks
    for.

    Raises what `train` raises. Cancelled comes after the present step is stored, or STOP_SECONDS later. Raises
    OutOfMemory if a GPU has too little, ProcessLost if the processes end without a result.
    """
    if not hardware.trains_apart:
        return train(base, rows, held_out, settings, folder, progress, cancelled)
    shared = folder / SHARED
    for name in (STOP, OUTCOME):
        (shared / name).unlink(missing_ok=True)
    call = (train, base, list(rows), list(held_out), settings, folder, os.getpid())
    keep(shared / CALL, pickle.dumps(call))
    keep(shared / PROGRESS, b"")
    command = hardware.command("training.tuning.distributed", str(shared))
    process = subprocess.Popen(command, env={**os.environ, **hardware.environment()})
    try:
        _follow(process, shared, progress, cancelled)
    finally:
        _end(process)
    outcome = _outcome(shared, process.returncode)
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome  # type: ignore[no-any-return]


def _follow(process: subprocess.Popen[bytes], shared: Path, progress: Progress, cancelled: MustStop) -> None:
    stopped_at: float | None = None
    with (shared / PROGRESS).open(encoding="utf-8") as lines:
        while process.poll() is None:
            _tell(lines, progress)
            if stopped_at is None and cancelled():
                (shared / STOP).touch()
                stopped_at = time.monotonic()
            if stopped_at is not None and time.monotonic() - stopped_at > STOP_SECONDS:
                raise Cancelled("The training was stopped; it goes on from its last checkpoint.")
            time.sleep(POLL_SECONDS)
        _tell(lines, progress)


def _tell(lines: IO[str], progress: Progress) -> None:
    while (line := lines.readline()).endswith("\n"):
        progress(RunProgress(**json.loads(line)))


def _end(process: subprocess.Popen[bytes]) -> None:
    """accelerate's launcher ends its processes when it gets the signal to end."""
    process.terminate()
    try:
        process.wait(10.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _outcome(shared: Path, code: int) -> Any:
    if (shared / OUTCOME).is_file():
        return pickle.loads((shared / OUTCOME).read_bytes())
    if shutil.disk_usage(shared).free < LEAST_FREE_BYTES:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(shared))
    return ProcessLost(f"The training's own process ended with code {code} and without a result; see the worker's log.")


def main(shared: Path) -> int:
    """One of the processes; returns its exit code. Only the first one reports progress and writes the result."""
    train, base, rows, held_out, settings, folder, asked_by = pickle.loads((shared / CALL).read_bytes())
    is_first = os.environ.get("RANK", "0") == "0"

    def tell(step: RunProgress) -> None:
        os.kill(asked_by, 0)  # ProcessLookupError ends a training that nobody waits for any more
        if is_first:
            with (shared / PROGRESS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(step)) + "\n")

    try:
        outcome = train(base, rows, held_out if is_first else [], settings, folder, tell, (shared / STOP).exists)
    except torch.OutOfMemoryError as error:
        outcome = OutOfMemory(f"A GPU has too little memory for this training. {ADVICE} torch says: {error}")
    except Exception as error:  # noqa: BLE001 - the edge of the process: whoever asked for the training raises it
        if not isinstance(error, TrainingError):  # where it was raised; its words may quote a text, and go another way
            print(*traceback.format_tb(error.__traceback__), type(error).__name__, sep="", file=sys.stderr)
        outcome = _portable(error)
    if is_first:
        keep(shared / OUTCOME, pickle.dumps(outcome))
    return int(isinstance(outcome, Exception) and not isinstance(outcome, Cancelled))


ADVICE = (
    "In [training] lower per_device_train_batch_size (and raise gradient_accumulation_steps) or max_length, or set "
    'gradient_checkpointing = true; in [worker] set train_quantization = "4bit"; or let slots take less of the GPU by '
    "gpu_memory_utilization in [generation]."
)


def _portable(error: Exception) -> Exception:
    """The error itself if it can be passed to another process, else its message."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - what pickle meets in an error of another library may be anything
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
