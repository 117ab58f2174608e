"""The tokens of a row and their logits. The prompt's tokens are not learned, the answer's are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from retrieval.model import Message
from training.model import TrainingRow

IGNORED = -100
"""The label of a token that is not learned, as transformers has it."""


def tokenize(row: TrainingRow, tokenizer: Any) -> dict[str, list[int]]:
    """A row as the chat template writes it. Labels are -100 on the prompt; the template's end of turn is learned."""
    prompt = _encode(row.prompt, tokenizer, add_generation_prompt=True)
    whole = _encode([*row.prompt, Message("assistant", row.completion)], tokenizer, add_generation_prompt=False)
    return {"input_ids": whole, "labels": [IGNORED] * len(prompt) + whole[len(prompt) :]}


def row_length(row: TrainingRow, tokenizer: Any) -> int:
    """The tokens of a row; for a preference pair, those of the longer answer."""
    answers = [row.completion] if row.rejected is None else [row.completion, row.rejected]
    said = [[*row.prompt, Message("assistant", answer)] for answer in answers]
    return max(len(_encode(messages, tokenizer, add_generation_prompt=False)) for messages in said)


def answer_logits(model: Any, input_ids: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [n, vocabulary] of the n positions whose next token is learned, and these next tokens [n]."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    states = inner.base_model(input_ids=input_ids, use_cache=False).last_hidden_state
    learned = labels[:, 1:] != IGNORED
    return inner.get_output_embeddings()(states[:, :-1][learned]), labels[:, 1:][learned]


def _encode(messages: Sequence[Message], tokenizer: Any, add_generation_prompt: bool) -> list[int]:
    turns = [{"role": message.role, "content": message.content} for message in messages]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=add_generation_prompt)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
