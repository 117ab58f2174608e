from __future__ import annotations

import pytest

from retrieval.model import Chunk, FileRef, Message, Passage
from services.gateway.answering.fitting import PromptParts, TooLong, fit, halved, may_exceed
from services.gateway.upstream.slots import Size

ENGLISH = "The workshop opens at nine and closes at five on every working day of the week. "
CHINESE = "工作日的早上九点开门，下午五点关门，周末和节假日不营业。"


def passage(text: str, title: str = "Hours") -> Passage:
    return Passage(Chunk(title, FileRef("w", "s", "f", 1), 0, text, "h.md", title, (), None, 0, len(text)), score=1.0)


def turns(count: int, text: str = "And then?") -> tuple[Message, ...]:
    return tuple(Message("user" if place % 2 == 0 else "assistant", f"{text} {place}") for place in range(count))


def parts(history: int = 0, passages: int = 2, text: str = ENGLISH, max_tokens: int = 200) -> PromptParts:
    return PromptParts("Answer.\n\nWhen?", turns(history), tuple(passage(text) for _ in range(passages)), max_tokens)


def tokens(one: PromptParts) -> int:
    """As a tokenizer counts that is kinder to English than the estimate is, and less kind to Chinese."""
    texts = [one.fixed, *(m.content for m in one.history), *(p.chunk.title + p.chunk.text for p in one.passages)]
    ascii_letters = sum(letter.isascii() for text in texts for letter in text)
    others = sum(len(text) for text in texts) - ascii_letters
    return int(ascii_letters / 4.6 + others * 1.1 + 4 * len(one.history))


def test_an_answer_longer_than_the_context_is_capped_to_what_the_prompt_leaves() -> None:
    fitted = fit(parts(max_tokens=4096), Size(500, 2048))
    assert (fitted.max_tokens, len(fitted.passages)) == (1548, 2)


@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
@pytest.mark.parametrize("count", [40, 400, 4000])
def test_the_oldest_turns_go_in_one_step_and_the_newest_that_fit_stay(count: int, text: str) -> None:
    asked = PromptParts("When?", turns(count, text), (passage(ENGLISH * 3),), 512)
    fitted = fit(asked, Size(tokens(asked), 2048))
    assert tokens(fitted) + fitted.max_tokens <= 2048
    assert tokens(fitted) > min(1200, tokens(asked) - 1)  # no more went than had to
    assert fitted.history == asked.history[-len(fitted.history) :]
    assert fitted.history[0].role == "user"
    assert fitted.passages == asked.passages
    assert fitted.max_tokens >= 512


def test_history_in_one_language_and_passages_in_another_still_fit() -> None:
    asked = PromptParts("When?", turns(60, CHINESE), tuple(passage(ENGLISH * 5) for _ in range(3)), 512)
    fitted = fit(asked, Size(tokens(asked), 2048))
    assert tokens(fitted) + fitted.max_tokens <= 2048
    assert fitted.history


def test_after_the_history_the_last_passages_go() -> None:
    fitted = fit(asked := parts(history=4, passages=30, text=ENGLISH * 4), Size(tokens(asked), 2048))
    assert fitted.history == ()
    assert 2 < len(fitted.passages) < 30
    assert tokens(fitted) + fitted.max_tokens <= 2048


def test_one_passage_that_is_too_long_is_cut_between_words() -> None:
    fitted = fit(asked := parts(passages=2, text=ENGLISH * 300), Size(tokens(asked), 2048))
    (kept,) = fitted.passages
    assert tokens(fitted) + fitted.max_tokens <= 2048
    assert len(kept.chunk.text) > 4000
    assert (ENGLISH * 300).startswith(kept.chunk.text + " ")


def test_a_question_that_is_too_long_by_itself_is_told() -> None:
    with pytest.raises(TooLong):
        fit(PromptParts(ENGLISH * 200, (), (passage(ENGLISH),), 200), Size(4000, 2048))
    with pytest.raises(TooLong):
        fit(PromptParts("When?", turns(400), (), 200, keeps_history=True), Size(4000, 2048))


def test_a_server_that_counts_no_tokens_is_asked_with_half_each_time() -> None:
    asked, steps = parts(history=400, passages=2), 0
    while asked.history:
        asked, steps = halved(asked), steps + 1
    assert steps <= 10
    assert len(halved(asked).passages) == 1
    with pytest.raises(TooLong):
        halved(PromptParts("When?", (), (), 200))


def test_only_prompts_that_come_near_the_context_are_counted_beforehand() -> None:
    assert not may_exceed(parts(history=10), 2048)
    assert may_exceed(parts(history=400), 2048)
    assert may_exceed(parts(max_tokens=4096), 2048)  # else refused, counted, and sent again
    assert may_exceed(parts(passages=2, text=CHINESE * 40), 2048)
