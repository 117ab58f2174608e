"""Merges an adapter into its base weights, and proves that this changed nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from training.answer_tokens import answer_logits, tokenize
from training.config import ParitySettings
from training.errors import DamagedWeights
from training.model import TrainingRow
from training.weights.parity_report import ParityReport


def merge(base: Path, adapter: Path, folder: Path) -> Path:
    """Write base plus adapter to `folder` as bf16 safetensors, with the base's tokenizer and chat template.

    The sum is computed in fp32 and rounded once. Raises DamagedWeights if the adapter holds a value that is not a
    number.
    """
    model = _with_adapter(base, adapter)
    try:
        merged = model.merge_and_unload(safe_merge=True)
    except ValueError as error:
        raise DamagedWeights(f"The adapter {adapter} cannot be merged: {error} Train it again.") from error
    merged.to(torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


@torch.no_grad()
def parity(
    base: Path, adapter: Path, merged: Path, rows: Sequence[TrainingRow], settings: ParitySettings
) -> ParityReport:
    """Compare the adapter on its base with the merged weights, on the answers of `rows`.

    In fp32 on a few rows: the largest difference of two logits, adapter beside the base against adapter merged in. As
    served, over at least `answer_tokens` answer tokens (all of `rows` if they have fewer): how often the weights in
    `merged`, in bf16, rank the same token first as the fp32 adapter does, or one that ties with it, so near that bf16
    cannot tell them apart. Which of two such tokens comes first is chance: when served, the logits themselves are bf16.
    """
    tokenizer = AutoTokenizer.from_pretrained(base)
    chosen = list(_until(rows, tokenizer, settings.answer_tokens))
    # eager as in training.tuning.lora: the fused attention is slower in bf16 on a CPU
    served = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.bfloat16, attn_implementation="eager").eval()
    first = [_logits(served, row).argmax(-1) for row in chosen]
    del served
    reference = _with_adapter(base, adapter)
    judged = [same_or_tied(_logits(reference, row), tokens) for row, tokens in zip(chosen, first, strict=True)]
    difference = _merging_difference(reference, chosen[: settings.exact_rows])
    same, tied = (torch.cat(each) for each in zip(*judged, strict=True))
    return _report(difference, same, tied, settings)


def same_or_tied(expected: torch.Tensor, first: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """For n tokens `first`: which come first in the logits `expected` [n, vocabulary], and which tie with the first
    one.

    Two logits tie if they differ by at most one rounding step of bf16 at the larger.
    """
    best, wanted = expected.max(-1)
    same = first == wanted
    gap = best - expected.gather(-1, first[:, None]).squeeze(-1)
    return same, ~same & (gap <= best.abs() * torch.finfo(torch.bfloat16).eps)


def _merging_difference(model: Any, rows: Sequence[dict[str, list[int]]]) -> float:
    """The largest difference of two logits between the adapter beside its base and merged into it. Leaves it merged."""
    beside = [_logits(model, row) for row in rows]
    model.merge_adapter(safe_merge=True)
    return max(float((_logits(model, row) - logits).abs().max()) for row, logits in zip(rows, beside, strict=True))


def _with_adapter(base: Path, adapter: Path) -> Any:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    # peft would load the adapter onto a GPU where there is one, and this process keep a part of it
    return PeftModel.from_pretrained(model, adapter, torch_device="cpu").eval()


def _until(rows: Iterable[TrainingRow], tokenizer: Any, answer_tokens: int) -> Iterator[dict[str, list[int]]]:
    """Rows until their answers have this many tokens."""
    count = 0
    for row in rows:
        if count >= answer_tokens:
            return
        tokens = tokenize(row, tokenizer)
        count += sum(label >= 0 for label in tokens["labels"])
        yield tokens


def _logits(model: Any, row: dict[str, list[int]]) -> torch.Tensor:
    logits, _ = answer_logits(model, torch.tensor([row["input_ids"]]), torch.tensor([row["labels"]]))
    return logits


def _report(difference: float, same: torch.Tensor, tied: torch.Tensor, settings: ParitySettings) -> ParityReport:
    near_ties, agreement = float(tied.float().mean()), float((same | tied).float().mean())
    exact, agrees = difference < settings.max_logit_difference, agreement >= settings.min_agreement
    passed = exact and agrees
    verdict = "are the adapter's" if passed else "differ from the adapter's"
    advice = ""
    if exact and not agrees:
        advice = (
            " In fp32 merging changes nothing, so it is rounding to bf16, or these weights were written wrong. A model "
            "that learned little may be too unsure of its words: train on more examples or longer, or allow it with "
            "`min_agreement` in [training]."
        )
    return ParityReport(
        passed=passed,
        max_logit_difference=difference,
        agreement=agreement,
        near_ties=near_ties,
        answer_tokens=same.numel(),
        message=(
            f"The merged weights {verdict}: largest logit difference {difference:.1e} in fp32 (allowed below "
            f"{settings.max_logit_difference:.0e}); as served, the same first token on {agreement:.1%} of "
            f"{same.numel()} answer tokens, {near_ties:.1%} of them near ties (wanted {settings.min_agreement:.1%})."
            f"{advice}"
        ),
    )
