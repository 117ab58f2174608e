from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.training.tiny_tokenizer import CHATML, tiny_tokenizer
from training.errors import BrokenTemplate, UnknownBaseModel
from training.prompts.template import check_template, load_tokenizer

TURN = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"
PROMPT = "{% if add_generation_prompt %}<assistant>{% endif %}"


@pytest.mark.parametrize("template", [CHATML, TURN + PROMPT])
def test_a_whole_template_passes(template: str) -> None:
    check_template(tiny_tokenizer(template), "tiny")


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("", "there is none"),
        (TURN, "it has no generation prompt"),
        (TURN + "{{ oops.nothing.here }}" + PROMPT, "it does not render"),
        (TURN + "{% for %}" + PROMPT, "it does not render"),
        ("{{ raise_exception('no system role') }}", "no system role"),
        (TURN.replace("messages", "messages[1:]") + PROMPT, "leaves out the system's message"),
        (TURN.replace("m.content", "m.content[:5]") + PROMPT, "leaves out the system's message"),
        (TURN.replace("messages", "messages[:2]") + PROMPT, "leaves out the assistant's message"),
        (TURN + PROMPT.replace("<assistant>", "<bot>"), "does not begin as its prompt does"),
        (TURN.replace("</s>", "") + PROMPT, "never learn to stop"),
    ],
)
def test_a_broken_one_is_refused_with_what_is_wrong(template: str, reason: str) -> None:
    with pytest.raises(BrokenTemplate, match=reason):
        check_template(tiny_tokenizer(template), "tiny")


def test_a_folder_without_a_tokenizer_is_no_base_model(tmp_path: Path) -> None:
    with pytest.raises(UnknownBaseModel, match="has no tokenizer that can be read"):
        load_tokenizer(tmp_path)
    with pytest.raises(UnknownBaseModel, match="has no tokenizer that can be read"):
        load_tokenizer(tmp_path / "absent")


def test_a_tokenizer_is_loaded_from_its_folder_and_its_template_checked(tmp_path: Path) -> None:
    tiny_tokenizer(CHATML).save_pretrained(tmp_path)
    assert load_tokenizer(tmp_path).chat_template == CHATML
    tiny_tokenizer(TURN).save_pretrained(tmp_path)
    with pytest.raises(BrokenTemplate, match="no generation prompt"):
        load_tokenizer(tmp_path)
