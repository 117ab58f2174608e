"""Chat templates: whether training and serving can share one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.errors import BrokenTemplate, UnknownBaseModel

_SYSTEM, _QUESTION, _ANSWER = "Answer briefly-7c1.", "Which way is north-4b9?", "Up on most maps-e25."


def load_tokenizer(base: Path) -> Any:
    """The tokenizer of base weights, whose template training and serving share.

    Raises UnknownBaseModel if there is none, BrokenTemplate for a template that cannot be trained with.
    """
    from transformers import AutoTokenizer  # takes a second, which a command without a tokenizer need not wait

    try:
        tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    except Exception as error:  # a folder may be wrong in any way; each is the same news to the user
        raise UnknownBaseModel(
            f"The base model's folder {base} has no tokenizer that can be read ({type(error).__name__}: {error}). "
            "Correct `base_model`, or restore the folder."
        ) from error
    check_template(tokenizer, str(base))
    return tokenizer


def check_template(tokenizer: Any, name: str) -> None:
    """Raises BrokenTemplate unless the template renders, keeps the messages' text, asks for the answer, and ends a
    turn.
    """
    asked = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _QUESTION}]
    answered = [*asked, {"role": "assistant", "content": _ANSWER}]
    if not getattr(tokenizer, "chat_template", None):
        raise _broken(name, "there is none")
    bare = _render(tokenizer, asked, name, add_generation_prompt=False)
    prompt = _render(tokenizer, asked, name, add_generation_prompt=True)
    whole = _render(tokenizer, answered, name, add_generation_prompt=False)
    missing = next((text for text in (_SYSTEM, _QUESTION, _ANSWER) if text not in whole), None)
    if missing:
        role = answered[(_SYSTEM, _QUESTION, _ANSWER).index(missing)]["role"]
        raise _broken(name, f"it leaves out the {role}'s message")
    if prompt == bare:
        raise _broken(name, "it has no generation prompt: nothing after the question asks for the assistant's answer")
    if not whole.startswith(prompt):
        raise _broken(name, "an answered conversation does not begin as its prompt does, so nothing could be learned")
    if not whole.split(_ANSWER)[-1].strip():
        raise _broken(name, "nothing ends the assistant's turn, so a model would never learn to stop")


def _render(tokenizer: Any, messages: Sequence[dict[str, str]], name: str, *, add_generation_prompt: bool) -> str:
    try:
        text = tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=add_generation_prompt
        )
    except Exception as error:  # a template is a program: it may raise anything
        raise _broken(name, f"it does not render ({type(error).__name__}: {error})") from error
    return str(text)


def _broken(name: str, why: str) -> BrokenTemplate:
    return BrokenTemplate(f"The chat template of {name} is broken: {why}. Restore the model's own template.")
