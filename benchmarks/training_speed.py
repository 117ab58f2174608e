"""How fast training is against trl as it comes, and whether both learn the same.

    python -m benchmarks.training_speed [--model FOLDER-OR-NAME] [--rows 48]

The same rows, base weights, LoRA, schedule and steps, in one run: trl's trainer as it comes, on the CPU, and ours.
Figures are tokens without padding a second, over whole steps after the first one, and the loss of eight rows kept out,
measured in one way on both. The rows are grounded prompts with three passages of about 110 tokens and an answer of
about 60. The last line on standard output is JSON.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset as Table
from peft import LoraConfig, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from harness.figures import report
from harness.machine import describe_machine
from retrieval.answers.grounding import grounded_messages
from retrieval.model import Chunk, FileRef, Passage
from training.answer_tokens import tokenize
from training.config import LoraSettings
from training.model import TrainingRow
from training.progress import RunProgress
from training.tuning.lora import answer_loss, train_adapter
from training.weights.base import materialize

TEXT = (
    "bike frame charger policy return repair store rider plan delivery brake light battery price service within after "
    "before every month year shop lock key seat wheel cable screen water winter summer family insurance warranty"
)
WORDS = TEXT.split()
KEPT_OUT = 8


@dataclass(frozen=True)
class Trained:
    """When each step ended, and the model then."""

    ends: Sequence[float]
    model: Any


def sentence(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words)).capitalize() + "."


def passage(rng: random.Random, number: int) -> Passage:
    text = " ".join(sentence(rng, 14) for _ in range(rng.randint(5, 8)))
    source = FileRef("workspace", "store", f"file-{number}", 1)
    return Passage(Chunk(f"chunk-{number}", source, 0, text, "a.md", "Handbook", (), None, 0, len(text)), 1.0)


def make_rows(count: int) -> list[TrainingRow]:
    rng = random.Random(7)
    rows = []
    for _ in range(count):
        prompt = grounded_messages(sentence(rng, 10), [passage(rng, number) for number in range(3)])
        answer = f"{sentence(rng, 18)[:-1]} [1].\n\n- {sentence(rng, 12)[:-1]} [1].\n- {sentence(rng, 12)[:-1]} [1]."
        rows.append(TrainingRow(tuple(prompt), answer, "grounded"))
    return rows


class Stopwatch(TrainerCallback):  # type: ignore[misc]
    """When each step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter())


def plain_trl(base: Path, rows: Sequence[TrainingRow], settings: LoraSettings, folder: Path) -> Trained:
    """trl's defaults, but for the CPU and the same schedule, rank and rows a step."""
    as_dicts = [
        {
            "prompt": [{"role": one.role, "content": one.content} for one in row.prompt],
            "completion": [{"role": "assistant", "content": row.completion}],
        }
        for row in rows
    ]
    watch = Stopwatch()
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(base),
        args=SFTConfig(
            output_dir=str(folder),
            use_cpu=True,
            per_device_train_batch_size=settings.per_device_train_batch_size,
            learning_rate=settings.learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=settings.warmup_steps,
            num_train_epochs=settings.num_train_epochs,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Table.from_list(as_dicts),
        processing_class=AutoTokenizer.from_pretrained(base),
        peft_config=LoraConfig(r=settings.lora_r, lora_alpha=settings.lora_alpha, target_modules="all-linear"),
        callbacks=[watch],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return Trained(watch.ends, trainer.model)


def ours(base: Path, rows: Sequence[TrainingRow], settings: LoraSettings, folder: Path) -> Trained:
    ends: dict[int, float] = {}

    def heard(progress: RunProgress) -> None:
        if "step" in progress.data:
            ends.setdefault(int(progress.data["step"]), time.perf_counter())

    result = train_adapter(base, rows, [], settings, folder, heard, lambda: False)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), result.adapter)
    return Trained([ends[step] for step in sorted(ends)], model)


def rate(ends: Sequence[float], tokens: int) -> float:
    """Tokens a second over the steps after the first; `tokens` are those of all steps."""
    return tokens * (len(ends) - 1) / len(ends) / (ends[-1] - ends[0])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default="smollm2-135m-instruct")
    arguments.add_argument("--rows", type=int, default=48)
    given = arguments.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    threads = len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    settings = replace(LoraSettings(threads=threads), num_train_epochs=1, save_steps=1000)
    rows = make_rows(given.rows + KEPT_OUT)
    trained, kept_out = rows[:-KEPT_OUT], rows[-KEPT_OUT:]
    with tempfile.TemporaryDirectory() as folder:
        base = materialize(given.model, Path(folder) / "models")
        tokenizer = AutoTokenizer.from_pretrained(base)
        tokens = sum(len(tokenize(row, tokenizer)["input_ids"]) for row in trained)
        sides = {
            "trl": plain_trl(base, trained, settings, Path(folder) / "trl"),
            "ours": ours(base, trained, settings, Path(folder) / "ours"),
        }
    assert len({len(one.ends) for one in sides.values()}) == 1, "both take the same steps"
    rates = {name: rate(one.ends, tokens) for name, one in sides.items()}
    losses = {name: answer_loss(one.model, tokenizer, kept_out, settings)[0] for name, one in sides.items()}
    print(f"{describe_machine()}, {threads} threads")
    print(f"{len(trained)} rows of {tokens / len(trained):.0f} tokens on average\n")
    print(f"{'':16}{'tokens/s':>10}{'loss kept out':>16}")
    for name in sides:
        print(f"{name:16}{rates[name]:>10.0f}{losses[name]:>16.3f}")
    print(f"ours is {rates['ours'] / rates['trl']:.2f} times as fast")
    report("training_speed", {"tokens_per_s": rates, "loss_kept_out": losses})


if __name__ == "__main__":
    main()
