"""What more examples bring: the sample's style learned from 25, 50, 100 and 200 examples.

    python -m benchmarks.learning_curve [--sizes 25 50 100 200] [--questions 40] [--unanswerable 15] [--max-steps N]
                                        [--mix share_distractors=0.3 ...]

Each size takes the first examples of one shuffled order, trains with the default settings (or the shares of --mix),
and is asked the sample's kept-out questions in hybrid, through the engine of this machine. The first column is the base
weights with the same passages, its style measured by the largest set's examples. The last line is JSON.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.four_modes import Outcome, print_table, run
from harness.figures import report
from harness.index import LocalRetriever, indexed
from harness.machine import describe_machine
from harness.places import BRINDLE
from harness.sample import sample_documents, sample_questions
from harness.tuning import Task
from retrieval.embedding.embedder import Bm25Encoder, SentenceTransformerEmbedder
from services.kit.settings import Platform
from services.worker.settings import TrainingSettings
from training.config import LoraSettings
from training.data.dataset import parse_dataset
from training.weights.base import materialize

ANSWERABLE = 40


def main() -> None:
    asked = arguments()
    mix, evaluation = TrainingSettings().as_served(Platform())
    shares: dict[str, Any] = dict(asked.mix)
    mix, evaluation = replace(mix, **shares), replace(evaluation, removed=asked.questions)
    examples = list(parse_dataset((BRINDLE / "train.jsonl").read_bytes()).examples)
    random.Random(mix.seed).shuffle(examples)
    questions = sample_questions()
    embedder, bm25, platform = SentenceTransformerEmbedder("all-minilm-l6-v2"), Bm25Encoder(), Platform()
    with tempfile.TemporaryDirectory(prefix="curve-") as name:
        folder = Path(name)
        index = indexed(folder / "index", sample_documents(), embedder, bm25)
        task = Task(
            base=materialize(platform.base_model, platform.models_folder),
            retriever=LocalRetriever(index, embedder, bm25),
            examples=examples,
            questions=[*questions[: asked.questions], *questions[ANSWERABLE : ANSWERABLE + asked.unanswerable]],
            mix=mix,
            evaluation=evaluation,
        )
        lora = LoraSettings(max_steps=asked.max_steps, save_steps=100_000)
        found = {
            size: run(replace(task, examples=examples[:size]), lora, folder / str(size)) for size in sorted(asked.sizes)
        }
        index.close()
    show(found)


def show(found: dict[int, Outcome]) -> None:
    print(f"\n{describe_machine()}")
    largest = found[max(found)]
    print_table(
        {"rag": largest.modes["rag"], **{f"{size} examples": one.modes["hybrid"] for size, one in found.items()}}
    )
    for size, one in found.items():
        rate = f"{one.lora.tokens} tokens, {one.lora.tokens_per_second:.0f} tokens/s"
        print(
            f"{size} examples: {rate}, loss {one.lora.loss_before:.3f} to {one.lora.loss_after:.3f}. {one.gate.summary}"
        )
    figures = {
        str(size): {
            "loss_after": round(one.lora.loss_after, 4),
            "passed": one.gate.passed,
            **{mode: metrics.figures() for mode, metrics in one.modes.items()},
        }
        for size, one in found.items()
    }
    report("learning_curve", figures)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[25, 50, 100, 200])
    parser.add_argument("--questions", type=int, default=ANSWERABLE)
    parser.add_argument("--unanswerable", type=int, default=15)
    parser.add_argument("--max-steps", type=int, default=-1)
    parser.add_argument("--mix", type=share, nargs="*", default=[], metavar="NAME=SHARE")
    return parser.parse_args()


def share(text: str) -> tuple[str, float]:
    """`share_distractors=0.3` as a name and a number."""
    name, _, value = text.partition("=")
    return name, float(value)


if __name__ == "__main__":
    main()
