"""How fast training is, and what that is owed to.

    python -m benchmarks.training_speed [--model FOLDER-OR-NAME] [--rows 6]

The same rows, base weights and LoRA, in one run: trl's trainer as it comes (`SFTConfig(use_cpu=True)`, as many rows a
step), and ours. Figures are tokens without padding a second, over whole steps after the first one. The rows are
grounded prompts with three passages of about 110 tokens and an answer of about 60. The last line on standard output is
JSON.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset as Table
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from benchmarks.running import report
from retrieval.grounding import grounded_messages
from retrieval.model import Chunk, FileRef, Passage
from training.config import LoraSettings
from training.lora import tokenize, train_adapter
from training.model import RunProgress, TrainingRow
from training.weights import materialize

TEXT = (
    "bike frame charger policy return repair store rider plan delivery brake light battery price service within after "
    "before every month year shop lock key seat wheel cable screen water winter summer family insurance warranty"
)
WORDS = TEXT.split()


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


def plain_trl(base: Path, rows: Sequence[TrainingRow], settings: LoraSettings, folder: Path) -> list[float]:
    """trl's defaults, but for the CPU and the same steps, rank and rows a step."""
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
            num_train_epochs=1,
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
    return watch.ends


def ours(base: Path, rows: Sequence[TrainingRow], settings: LoraSettings, folder: Path) -> list[float]:
    ends: list[float] = []

    def heard(_: RunProgress) -> None:
        ends.append(time.perf_counter())

    train_adapter(base, rows, [], settings, folder, heard, lambda: False)
    return ends


def rate(ends: Sequence[float], tokens: int, steps: int) -> float:
    """Tokens a second over the steps after the first."""
    return tokens * (steps - 1) / steps / (ends[-1] - ends[0])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default="smollm2-135m-instruct")
    arguments.add_argument("--rows", type=int, default=6)
    given = arguments.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    threads = len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    settings = LoraSettings(threads=threads, save_steps=1000)
    rows = make_rows(given.rows)
    with tempfile.TemporaryDirectory() as folder:
        base = materialize(given.model, Path(folder) / "models")
        tokenizer = AutoTokenizer.from_pretrained(base)
        tokens = sum(len(tokenize(row, tokenizer)["input_ids"]) for row in rows)
        steps = -(-len(rows) // settings.per_device_train_batch_size)
        ours_rate = rate(ours(base, rows, settings, Path(folder) / "ours"), tokens, steps)
        trl_rate = rate(plain_trl(base, rows, settings, Path(folder) / "trl"), tokens, steps)
    print(f"{len(rows)} rows of {tokens / len(rows):.0f} tokens on average, {threads} threads")
    print(f"trl as it comes   {trl_rate:7.0f} tokens/s")
    print(f"ours              {ours_rate:7.0f} tokens/s   {ours_rate / trl_rate:.1f} times")
    report("training_speed", {"trl_tokens_per_s": round(trl_rate, 1), "ours_tokens_per_s": round(ours_rate, 1)})


if __name__ == "__main__":
    main()
