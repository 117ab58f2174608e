"""The content of a message in both shapes of the API: a text, or a list of parts whose texts are read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from services.gateway.http.bodies import NullsAbsent

WORDS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
"""The types of part that are read, and the field that has the words of each."""
NOT_READ = {
    "image_url": "an image",
    "input_image": "an image",
    "input_audio": "sound",
    "file": "a file",
    "input_file": "a file",
}


class Part(NullsAbsent):
    """A text, or the words with which a model refused."""

    type: Literal["text", "input_text", "output_text", "refusal"]
    text: str = ""
    refusal: str = ""

    def words(self) -> str:
        return self.text or self.refusal


def _parts(content: Any) -> Any:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise ValueError("it must be a text or a list of text parts")
    for part in content:
        _check_part(part)
    return content


def _check_part(part: Any) -> None:
    kind = str(part.get("type")) if isinstance(part, dict) else type(part).__name__
    if kind in NOT_READ:
        raise ValueError(f"{NOT_READ[kind]} stands in it, and the base model takes none; say it in words ('{kind}')")
    if kind not in WORDS:
        raise ValueError(f"a part of type '{kind}' is not served; send the text of it as a text part")
    if not isinstance(part.get(WORDS[kind]), str):
        raise ValueError(f"a part of type '{kind}' has its words in '{WORDS[kind]}'")


Content = Annotated[list[Part], BeforeValidator(_parts)]


def words_of(parts: Iterable[Part]) -> str:
    return "\n".join(part.words() for part in parts)
