"""LoRA in several processes, one a GPU: the same training as training.lora, started by accelerate.

`python -m training.distributed SPEC` is one of these processes. The first one tells progress in a file beside the spec
and writes the result.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

from training import frozen
from training.config import LoraSettings
from training.errors import Cancelled, TrainingError
from training.hardware import Hardware
from training.model import Cancelled as IsCancelled
from training.model import LoraResult, Progress, RowsReport, RunProgress, StepMetrics, TrainingRow

SPEC, PROGRESS, RESULT, ROWS = "spec.json", "progress.jsonl", "result.json", "distributed"
POLL_SECONDS = 0.5
NO_REPORT = RowsReport(0, 0, 0, 0, 0, 0, 0)


def train_adapter(
    base: Path,
    rows: Sequence[TrainingRow],
    held_out: Sequence[TrainingRow],
    settings: LoraSettings,
    folder: Path,
    progress: Progress,
    cancelled: IsCancelled,
) -> LoraResult:
    """As `training.lora.train_adapter`, in as many processes as the hardware asks for.

    A cancelled one is ended at once: a later try goes on from its last regular checkpoint. Raises TrainingError where
    the processes end without a result.
    """
    settings.hardware.batches(settings.per_device_train_batch_size * settings.gradient_accumulation_steps)
    shared = folder / ROWS
    frozen.write_rows(shared, rows, held_out, NO_REPORT)
    (shared / RESULT).unlink(missing_ok=True)
    (shared / PROGRESS).write_bytes(b"")
    spec = {"base": str(base), "folder": str(folder), "settings": asdict(settings), "started_by": os.getpid()}
    frozen.keep(shared / SPEC, json.dumps(spec).encode())
    process = subprocess.Popen(settings.hardware.command("training.distributed", str(shared / SPEC)))
    try:
        _follow(process, shared / PROGRESS, progress, cancelled)
    finally:
        _stop(process)
    if not (shared / RESULT).is_file():
        raise TrainingError(
            f"The {settings.hardware.processes} training processes ended with code {process.returncode}; the worker's "
            "log says why."
        )
    return _result(json.loads((shared / RESULT).read_text(encoding="utf-8")))


def _follow(process: subprocess.Popen[bytes], told: Path, progress: Progress, cancelled: IsCancelled) -> None:
    with told.open(encoding="utf-8") as lines:
        while process.poll() is None:
            _tell(lines, progress)
            if cancelled():
                raise Cancelled("The training was stopped; it goes on from its last checkpoint.")
            time.sleep(POLL_SECONDS)
        _tell(lines, progress)


def _tell(lines: IO[str], progress: Progress) -> None:
    while (line := lines.readline()).endswith("\n"):
        progress(RunProgress(**json.loads(line)))


def _stop(process: subprocess.Popen[bytes]) -> None:
    """The launcher ends its processes when it is told to."""
    process.terminate()
    try:
        process.wait(10.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _result(content: dict[str, Any]) -> LoraResult:
    history = tuple(StepMetrics(**step) for step in content.pop("history"))
    losses, adapter = tuple(content.pop("train_losses")), Path(content.pop("adapter"))
    return LoraResult(adapter=adapter, train_losses=losses, history=history, **content)


def main(spec_path: Path) -> None:
    """One of the processes; only the first one tells and writes."""
    from training import lora

    spec = json.loads(spec_path.read_text(encoding="utf-8"))
    hardware = Hardware(**spec["settings"].pop("hardware"))
    settings = LoraSettings(**spec["settings"], hardware=hardware)
    settings = replace(settings, threads=max(1, settings.threads // hardware.processes))
    shared, is_first = spec_path.parent, os.environ.get("RANK", "0") == "0"
    trained, held_out, _ = frozen.read_rows(shared)

    def tell(step: RunProgress) -> None:
        os.kill(spec["started_by"], 0)  # ProcessLookupError ends a training that nobody waits for any more
        if is_first:
            with (shared / PROGRESS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(step)) + "\n")

    folder, rows = Path(spec["folder"]), held_out if is_first else ()
    result = lora.train_adapter(Path(spec["base"]), trained, rows, settings, folder, tell, lambda: False)
    if is_first:
        frozen.keep(shared / RESULT, json.dumps(asdict(result), default=str).encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
