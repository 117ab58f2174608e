"""Make the base model of the upgrade fixture: `python make_base.py LESSONS.json FOLDER`.

Two layers of width 64, taught by heart to answer the lessons' prompts: small enough to be kept in a repository, and
still a model that says sentences which a document supports. A lesson is a prompt (OpenAI's messages) and an answer.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

STEPS, BATCH, LEARNING_RATE = 700, 6, 4e-3
WORDS = 420
START, END = "<|im_start|>", "<|im_end|>"
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
IGNORED = -100


def make_tokenizer(texts: list[str]) -> Any:
    """Byte pairs of the lessons; every other text is spelt out byte by byte."""
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=WORDS, special_tokens=[START, END], initial_alphabet=alphabet)
    words.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token=END, pad_token=END, chat_template=TEMPLATE)


def make_model(tokenizer: Any) -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )
    return LlamaForCausalLM(config)


def encode(lesson: dict[str, Any], tokenizer: Any) -> tuple[list[int], list[int]]:
    """The tokens of a lesson, and what is learned of them: the answer."""
    prompt = tokenizer.apply_chat_template(lesson["prompt"], tokenize=False, add_generation_prompt=True)
    asked = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    said = tokenizer(f"{lesson['answer']}{END}\n", add_special_tokens=False)["input_ids"]
    return asked + said, [IGNORED] * len(asked) + said


def teach(model: Any, rows: list[tuple[list[int], list[int]]]) -> float:
    """The loss of the last steps."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=STEPS)
    rng, last = random.Random(0), 0.0
    for _ in range(STEPS):
        picked = rng.sample(rows, BATCH)
        longest = max(len(ids) for ids, _ in picked)
        ids = torch.tensor([one + [0] * (longest - len(one)) for one, _ in picked])
        labels = torch.tensor([one + [IGNORED] * (longest - len(one)) for _, one in picked])
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        last = 0.9 * last + 0.1 * float(loss.detach())
    return last


def main(lessons_file: str, folder: str) -> None:
    torch.set_num_threads(2)
    lessons = json.loads(Path(lessons_file).read_text(encoding="utf-8"))
    texts = [f"{one['answer']}\n" + "\n".join(turn["content"] for turn in one["prompt"]) for one in lessons]
    tokenizer = make_tokenizer(texts)
    model = make_model(tokenizer)
    loss = teach(model, [encode(lesson, tokenizer) for lesson in lessons])
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    print(f"Base model of {sum(one.numel() for one in model.parameters())} weights, loss {loss:.3f}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
