"""How long the report on a data set takes.

    python -m benchmarks.dataset_report [--examples 10000] [--model smollm2-135m-instruct | FOLDER]

Synthetic examples, made of the words of the sample company's: a third of the questions from one template, one in twenty
asked before. One thread. Without `--model` no tokens are counted. The last line on standard output is JSON.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import time
from pathlib import Path

from harness.figures import report
from harness.places import BRINDLE
from retrieval.model import Message
from training.config import ExampleSettings, LoraSettings
from training.data.dataset import canonical, parse_dataset
from training.data.dataset_report import CountTokens, examine
from training.model import Example


def synthetic(count: int) -> list[Example]:
    rng = random.Random(1)
    words = sorted(set(re.findall(r"[a-z]{2,}", (BRINDLE / "train.jsonl").read_text(encoding="utf-8"))))
    asked: list[str] = []
    for number in range(count):
        if number % 20 == 19:
            asked.append(rng.choice(asked))
        elif number % 3 == 0:
            asked.append("What is the price of the {} {} in the {} plan, please?".format(*rng.choices(words, k=3)))
        else:
            asked.append(" ".join(rng.choices(words, k=rng.randint(6, 20))) + "?")
    answers = (" ".join(rng.choices(words, k=60)) + "." for _ in asked)
    pairs = zip(asked, answers, strict=True)
    return [Example((Message("user", question), Message("assistant", answer))) for question, answer in pairs]


def counter(model: str, folder: Path) -> CountTokens:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from training.data.preparation import count_with
    from training.prompts.template import load_tokenizer
    from training.weights.base import materialize

    return count_with(load_tokenizer(materialize(model, folder)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--model")
    parser.add_argument("--models", type=Path, default=Path(".tandem/models"))
    asked = parser.parse_args()
    count = counter(asked.model, asked.models) if asked.model else None
    data = canonical(synthetic(asked.examples))
    started = time.process_time()
    dataset = parse_dataset(data)
    parsed = time.process_time()
    found = examine(dataset, ExampleSettings(), count, LoraSettings().max_length).report
    finished = time.process_time()
    print("\n".join(found.summary))
    figures = {"examples": asked.examples, "megabytes": round(len(data) / 1e6, 1), "with_tokens": bool(count)}
    figures |= {"parse_seconds": round(parsed - started, 2), "report_seconds": round(finished - parsed, 2)}
    report("dataset_report", figures)


if __name__ == "__main__":
    main()
