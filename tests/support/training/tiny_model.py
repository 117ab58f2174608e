"""A language model small enough to be tuned in seconds, and what a run on it needs."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from tests.support.training.fakes import example, passage
from training.model import Example

THINGS = ["bell", "lamp", "lock", "pump", "seat", "tyre", "chain", "pedal", "fork", "hub", "rim", "stand"]
PASSAGES = [
    passage(
        f"{thing}.md", f"The {thing} costs {number} pounds. The shop replaces the {thing} in {number + 40} minutes."
    )
    for number, thing in enumerate(THINGS, start=12)
]


def answer(thing: str) -> str:
    price = THINGS.index(thing) + 12
    return f"The {thing} costs {price} pounds.\n\n- The shop replaces the {thing} in {price + 40} minutes."


EXAMPLES: list[Example] = [example(f"What is the {one}?", answer(one), document=f"{one}.md") for one in THINGS]


def make_tiny(base_weights: Path, folder: Path) -> Path:
    """Two layers of random weights with the base model's tokenizer and template."""
    tokenizer = AutoTokenizer.from_pretrained(base_weights)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
