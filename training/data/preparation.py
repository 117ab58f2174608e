"""Prepares a training file for a run: reads it, examines it, or refuses it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from training.config import ExampleSettings
from training.data.dataset import Dataset, parse_dataset
from training.data.dataset_report import CountTokens, DataSetReport, examine
from training.data.fitness import Method, check_contradictions, check_examples
from training.errors import InvalidDataset
from training.model import Example, turns_of


def read_validation(data: bytes) -> tuple[Example, ...]:
    """The examples of a validation file; none if it is empty. Raises InvalidDataset, which says which file is meant."""
    if not data.strip():
        return ()
    try:
        return parse_dataset(data, ExampleSettings(min_examples=1)).examples
    except InvalidDataset as error:
        raise InvalidDataset(f"In the validation file: {error}", error.problems) from error


def examine_and_check(
    dataset: Dataset,
    settings: ExampleSettings,
    count_tokens: CountTokens | None,
    max_length: int,
    on_report: Callable[[DataSetReport], None],
    method: Method = "supervised",
) -> None:
    """Make the report, pass it on, and only then refuse, so that a refused user can read why.

    Raises InvalidDataset for what `training.data.fitness` refuses, and if no conversation fits `max_length`.
    """
    examined = examine(dataset, settings, count_tokens, max_length)
    on_report(examined.report)
    check_examples(dataset, settings, method)
    found = examined.contradictions
    check_contradictions(dataset.examples, found.places, found.pairs, settings.max_contradictory)
    lengths = examined.report.lengths
    if lengths and len(lengths.left_out) == len(dataset.examples):
        raise InvalidDataset(
            f"No conversation fits {lengths.max_length} tokens: the shortest half has {lengths.tokens.p50} and less. "
            "Raise max_length, or shorten them."
        )


def told_cut(examples: Sequence[Example], tokenizer: Any, most: int) -> tuple[str, dict[str, Any]] | None:
    """Training answers of more tokens than the server gives, as an event; None if there are none."""
    turns = turns_of(examples)
    counts = [len(ids) for ids in tokenizer([one.answer for one in turns], add_special_tokens=False)["input_ids"]]
    lines = [turn.line for turn, count in zip(turns, counts, strict=True) if count >= most]
    if not lines:
        return None
    told = (
        f"{len(lines)} of {len(turns)} training answers do not fit an answer: the longest has {max(counts)} tokens, "
        f"and max_answer_tokens is {most}. What is learned from them will be cut, and the gate refuses a model that is "
        "cut often: raise max_answer_tokens, or shorten them."
    )
    return told, {"cut_lines": lines, "longest": max(counts), "max_answer_tokens": most}


def count_with(tokenizer: Any) -> CountTokens:
    """Counts tokens of whole conversations, as the tokenizer's chat template writes them."""

    def count(examples: Sequence[Example]) -> list[int]:
        turns = [[{"role": one.role, "content": one.content} for one in example.messages] for example in examples]
        texts = [tokenizer.apply_chat_template(one, tokenize=False, add_generation_prompt=False) for one in turns]
        return [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]

    return count
