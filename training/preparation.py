"""A training file made ready for a run: read, examined, rid of what the model is judged by, split, or refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from training.config import DatasetSettings
from training.dataset import check_count, parse_dataset
from training.dataset_report import CountTokens, DataSetReport, examine
from training.errors import InvalidDataset
from training.fitness import Method, check_contradictions, check_examples, check_overlap
from training.model import Dataset, Example, turns_of
from training.splitting import keep_out, sample, split

SHOWN_LINES = 20


@dataclass(frozen=True)
class KeptOut:
    """What a run must not learn: the validation file, and the workspace's evaluation questions."""

    validation: tuple[Example, ...] = ()
    evaluation: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """Both sides of a run's examples. `removed` would have been trained on, but ask what the model is judged by."""

    trained: tuple[Example, ...]
    held_out: tuple[Example, ...]
    removed: tuple[Example, ...]


def read_validation(data: bytes) -> tuple[Example, ...]:
    """The examples of a validation file; none of an empty one. Raises InvalidDataset that says which file it is of."""
    if not data.strip():
        return ()
    try:
        return parse_dataset(data, DatasetSettings(min_examples=1)).examples
    except InvalidDataset as error:
        raise InvalidDataset(f"In the validation file: {error}", error.problems) from error


def examine_and_check(
    dataset: Dataset,
    settings: DatasetSettings,
    count_tokens: CountTokens | None,
    max_length: int,
    on_report: Callable[[DataSetReport], None],
    method: Method = "supervised",
) -> None:
    """Make the report, hand it on, and only then refuse: whoever is refused can read why.

    Raises InvalidDataset for what `training.fitness` refuses, and where no conversation fits `max_length`.
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


def divide(dataset: Dataset, kept_out: KeptOut, settings: DatasetSettings) -> Prepared:
    """Keep what judges the model apart from what it learns.

    With a validation file that is what the model is asked, at most `max_validation` of it, and everything of it is kept
    out of training; without one a part of the data set is held out. Evaluation questions are kept out either way.

    Raises InvalidDataset where too much of the validation file is in the training file, or where too few examples are
    left.
    """
    if kept_out.validation:
        shared = keep_out(kept_out.validation, dataset.examples, settings)[1]
        check_overlap(len(shared), len(kept_out.validation), settings.max_overlap)
    outside = [*kept_out.validation, *kept_out.evaluation]
    kept, removed = keep_out(dataset.examples, outside, settings)
    if removed:
        _check_left(len(kept), len(removed), settings)
    if kept_out.validation:
        asked = sample(kept_out.validation, settings.max_validation, settings.seed)
        return Prepared(tuple(kept), tuple(asked), tuple(removed))
    trained, held_out = split(replace(dataset, examples=tuple(kept)), settings)
    return Prepared(tuple(trained), tuple(held_out), tuple(removed))


def told(prepared: Prepared, kept_out: KeptOut) -> tuple[str, dict[str, Any]]:
    """What was kept out of training, as an event: a sentence and its figures."""
    lines = [example.line for example in prepared.removed]
    outside = {"validation": len(kept_out.validation), "evaluation": len(kept_out.evaluation)}
    figures = {"trained": len(prepared.trained), "held_out": len(prepared.held_out), **outside, "removed_lines": lines}
    side = "of the validation file are asked" if kept_out.validation else "are held out"
    told = f"{len(prepared.trained)} examples are trained on, {len(prepared.held_out)} {side}."
    if not lines:
        return f"{told} None of the training file asks what the model is judged by.", figures
    shown = ", ".join(map(str, lines[:SHOWN_LINES])) + (" and more" if len(lines) > SHOWN_LINES else "")
    return f"{told} {len(lines)} were removed, since they ask what the model is judged by: lines {shown}.", figures


def told_cut(examples: Sequence[Example], tokenizer: Any, most: int) -> tuple[str, dict[str, Any]] | None:
    """Training answers of more tokens than the server gives, as an event; None where there are none."""
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


def _check_left(kept: int, removed: int, settings: DatasetSettings) -> None:
    try:
        check_count(kept, settings.min_examples)
    except InvalidDataset as error:
        raise InvalidDataset(
            f"{removed} examples ask what the model is judged by (the validation file or the workspace's evaluation "
            f"questions) and may not be trained on; {kept} are left, at least {settings.min_examples} are needed."
        ) from error


def count_with(tokenizer: Any) -> CountTokens:
    """Counts tokens of whole conversations, as the tokenizer's chat template writes them."""

    def count(examples: Sequence[Example]) -> list[int]:
        turns = [[{"role": one.role, "content": one.content} for one in example.messages] for example in examples]
        texts = [tokenizer.apply_chat_template(one, tokenize=False, add_generation_prompt=False) for one in turns]
        return [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]

    return count
