"""A public voice and public questions: MedQuAD's style pairs learned, its kept-out questions asked before and after.

    python -m benchmarks.medquad_voice [--examples 500] [--questions 200] [--unanswerable 100] [--documents 1814]
                                       [--removed 50] [--max-steps N] [--cache FOLDER]

`base` and `rag` are before, `tuned` and `hybrid` after, through the engine of this machine, with the prompts of the
gateway. References are the set's own answers; it names no required facts, so facts are token F1 alone. Style is learned
from the style pairs that are trained on. A small --documents keeps the documents that the chosen pairs and questions
need and fills up with others. The last line is JSON.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.four_modes import print_table, run
from harness.figures import report
from harness.index import LocalRetriever, indexed
from harness.jsonl import read_jsonl
from harness.machine import describe_machine
from harness.places import SHARED_DATA
from harness.tuning import Task
from harness.vector_cache import CachedEmbedder
from retrieval.embedding.embedder import Bm25Encoder, Embedder, SentenceTransformerEmbedder
from retrieval.model import Message
from services.kit.settings import Platform
from services.worker.settings import TrainingSettings
from training.config import LoraSettings
from training.judging.questions import Question
from training.model import Example
from training.weights.base import materialize

FOLDER = SHARED_DATA / "medquad"


def main() -> None:
    asked = arguments()
    pairs = [row for row in read_jsonl(FOLDER / "style_pairs.jsonl") if row["split"] == "train"][: asked.examples]
    answerable = read_jsonl(FOLDER / "eval_questions.jsonl")[: asked.questions]
    unanswerable = read_jsonl(FOLDER / "unanswerable_questions.jsonl")[: asked.unanswerable]
    needed = {row["doc_id"] for row in pairs} | {one for row in answerable for one in row["gold_doc_ids"]}
    platform = Platform()
    mix, evaluation = TrainingSettings().as_served(platform)
    with tempfile.TemporaryDirectory(prefix="medquad-") as name:
        folder = Path(name)
        inner = SentenceTransformerEmbedder("all-minilm-l6-v2")
        embedder: Embedder = CachedEmbedder(inner, asked.cache) if asked.cache else inner
        bm25 = Bm25Encoder()
        index = indexed(folder / "index", dict(documents(needed, asked.documents)), embedder, bm25)
        task = Task(
            base=materialize(platform.base_model, platform.models_folder),
            retriever=LocalRetriever(index, embedder, bm25),
            examples=[example(row) for row in pairs],
            questions=[*map(question, answerable), *(Question(row["question"], False) for row in unanswerable)],
            mix=mix,
            evaluation=replace(evaluation, removed=asked.removed),
        )
        found = run(task, LoraSettings(max_steps=asked.max_steps, save_steps=100_000), folder)
        index.close()
    print(f"\n{describe_machine()}")
    print_table(found.modes)
    print(f"loss {found.lora.loss_before:.3f} to {found.lora.loss_after:.3f}, {found.lora.tokens} tokens trained")
    print("\n".join(check.sentence for check in found.gate.checks))
    report("medquad_voice", {mode: metrics.figures() for mode, metrics in found.modes.items()})


def documents(needed: set[str], count: int) -> Iterator[tuple[str, bytes]]:
    """Those that are needed, then others up to `count`, each under its filename."""
    rows = read_jsonl(FOLDER / "documents.jsonl")
    chosen = [row for row in rows if row["_id"] in needed]
    chosen += [row for row in rows if row["_id"] not in needed][: max(0, count - len(chosen))]
    return ((filename(row["_id"]), row["text"].encode()) for row in chosen)


def example(row: dict[str, Any]) -> Example:
    messages = (Message("user", row["prompt"]), Message("assistant", row["response"]))
    return Example(messages, {"document": filename(row["doc_id"])})


def question(row: dict[str, Any]) -> Question:
    first, *others = map(filename, row["gold_doc_ids"])
    return Question(row["question"], True, first, row["gold_answer"], other_documents=tuple(others))


def filename(document_id: str) -> str:
    return f"{document_id}.md"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--unanswerable", type=int, default=100)
    parser.add_argument("--documents", type=int, default=1814)
    parser.add_argument("--removed", type=int, default=50)
    parser.add_argument("--max-steps", type=int, default=-1)
    parser.add_argument("--cache", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
