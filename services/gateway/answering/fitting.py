"""Cuts a prompt to fit the model's context in one step: first the oldest history is removed, then the last passages,
then the end of the one passage that is left. Room for the answer is always kept.

The model's server counts the tokens of the whole prompt once. The tokens of each part are estimated from its letters,
with a reserve. So this module counts no tokens itself, and need not ask the server about each part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from retrieval.model import Message, Passage
from retrieval.text.words import up_to_a_gap
from services.gateway.upstream.slots import Size

LETTERS_A_TOKEN = 4.0
"""Of English in most vocabularies; a letter beyond ASCII counts as a token. Only the ratio of the two matters here."""
FEWEST_LETTERS_A_TOKEN = 3.0
"""Of ASCII; beyond it a token has a byte at least. From such a prompt on, its tokens are counted before it is sent."""
TOKENS_A_MESSAGE = 5.0
ANSWER_SHARE = 0.25
"""At most this share of the context is kept for the answer, where something has to go for it."""
RESERVE = 0.96
"""Estimates are off by a few per cent where languages are mixed."""
LEAST_PASSAGE = 200
"""A passage is cut to no fewer characters."""


@dataclass(frozen=True)
class PromptParts:
    """The parts of a prompt that may be cut: `history`, oldest first, and `passages`, best first. `max_tokens` is the
    longest answer.

    `fixed` is the text that stays: instructions and question. With `keeps_history`, the history is never cut.
    """

    fixed: str
    history: tuple[Message, ...]
    passages: tuple[Passage, ...]
    max_tokens: int
    keeps_history: bool = False


class TooLong(Exception):
    """The prompt is still too long, and nothing is left that may be cut."""


def may_exceed(parts: PromptParts, context: int) -> bool:
    """Whether the prompt and its answer together could be too long. A rough guess that says yes when in doubt.

    Always true if the answer alone may be as long as the context: the slot would refuse that.
    """
    most = parts.max_tokens if parts.max_tokens >= context else min(parts.max_tokens, context * ANSWER_SHARE)
    return sum(map(_most_tokens, _texts(parts))) + TOKENS_A_MESSAGE * len(parts.history) + most > context


def _texts(parts: PromptParts) -> Iterator[str]:
    yield parts.fixed
    yield from (message.content for message in parts.history)
    for passage in parts.passages:
        yield from (passage.chunk.title, *passage.chunk.headings, passage.chunk.text)


def _most_tokens(text: str) -> float:
    ascii_letters = len(text.encode("ascii", "ignore"))
    return ascii_letters / FEWEST_LETTERS_A_TOKEN + len(text.encode(errors="replace")) - ascii_letters


def fit(parts: PromptParts, size: Size) -> PromptParts:
    """The parts that fit, with a limit on the answer so that it fits too. Raises TooLong."""
    kept_free = min(parts.max_tokens, max(1, int(size.context * ANSWER_SHARE)))
    if size.tokens + kept_free <= size.context:
        return replace(parts, max_tokens=min(parts.max_tokens, size.context - size.tokens))
    scale = size.tokens / _weight(parts)
    room = (size.context - kept_free) * RESERVE / scale
    fitted = _without_passages(_without_history(parts, room), room)
    if _weight(fitted) > room:
        fitted = _with_a_cut_passage(fitted, room)
    estimated = size.tokens if fitted == parts else int(_weight(fitted) * scale / RESERVE)
    if estimated >= size.context:
        raise TooLong
    return replace(fitted, max_tokens=min(parts.max_tokens, size.context - estimated))


def halved(parts: PromptParts) -> PromptParts:
    """Keep the newer half of the history; if there is none, the better half of the passages; if one is left, half of
    it.

    For model servers that count no tokens. Raises TooLong.
    """
    if parts.history and not parts.keeps_history:
        return _without_history(parts, _weight(parts) - sum(map(_message_weight, parts.history)) / 2)
    if len(parts.passages) > 1:
        return replace(parts, passages=parts.passages[: len(parts.passages) // 2])
    cut = _with_a_cut_passage(parts, _weight(parts) / 2)
    if cut == parts:
        raise TooLong
    return cut


def _without_history(parts: PromptParts, room: float) -> PromptParts:
    """Keep the newest turns that fit, starting with one of the user's."""
    excess, gone, history = _weight(parts) - room, 0, parts.history
    if excess <= 0 or parts.keeps_history:
        return parts
    while excess > 0 and gone < len(history):
        excess -= _message_weight(history[gone])
        gone += 1
    while gone < len(history) and history[gone].role != "user":
        gone += 1
    return replace(parts, history=history[gone:])


def _without_passages(parts: PromptParts, room: float) -> PromptParts:
    passages = parts.passages
    while len(passages) > 1 and _weight(replace(parts, passages=passages)) > room:
        passages = passages[:-1]
    return replace(parts, passages=passages)


def _with_a_cut_passage(parts: PromptParts, room: float) -> PromptParts:
    if not parts.passages:
        return parts
    passage = parts.passages[0]
    text = passage.chunk.text
    share = 1 - (_weight(parts) - room) / _weight_of(text)
    length = max(LEAST_PASSAGE, int(len(text) * share))
    if length >= len(text):
        return parts
    cut = replace(passage, chunk=replace(passage.chunk, text=up_to_a_gap(text[:length])))
    return replace(parts, passages=(cut, *parts.passages[1:]))


def _weight(parts: PromptParts) -> float:
    history, passages = map(_message_weight, parts.history), map(_passage_weight, parts.passages)
    return _weight_of(parts.fixed) + sum(history) + sum(passages)


def _message_weight(message: Message) -> float:
    return _weight_of(message.content) + TOKENS_A_MESSAGE


def _passage_weight(passage: Passage) -> float:
    headings = [passage.chunk.title, *passage.chunk.headings]
    return _weight_of(passage.chunk.text) + sum(map(_weight_of, headings)) + TOKENS_A_MESSAGE


def _weight_of(text: str) -> float:
    ascii_letters = len(text.encode("ascii", "ignore"))
    return ascii_letters / LETTERS_A_TOKEN + (len(text) - ascii_letters)
