from __future__ import annotations

import json

import httpx
import pytest

from services.worker.fine_tuning.judge import HttpJudge
from services.worker.settings import TrainingSettings


def judge(reply: str, status: int = 200, heard: list[httpx.Request] | None = None) -> HttpJudge:
    def answer(request: httpx.Request) -> httpx.Response:
        if heard is not None:
            heard.append(request)
        return httpx.Response(status, json={"choices": [{"message": {"content": reply}}]})

    return HttpJudge(httpx.Client(base_url="http://judge/v1", transport=httpx.MockTransport(answer)), "big")


@pytest.mark.parametrize(
    ("reply", "mark"), [("7", 0.7), (" 10\n", 1.0), ("0", 0.0), ("Mark: 8/10", 0.8), ("I say 3.", 0.3)]
)
def test_a_reply_becomes_a_mark(reply: str, mark: float) -> None:
    assert judge(reply).mark("q", "r", "a") == mark


@pytest.mark.parametrize("reply", ["", "very good", "85", "7.5"])
def test_a_reply_without_a_mark_is_an_error_that_shows_it(reply: str) -> None:
    with pytest.raises(ValueError, match="not with a mark"):
        judge(reply).mark("q", "r", "a")


def test_a_refused_request_is_an_error() -> None:
    with pytest.raises(httpx.HTTPStatusError):
        judge("7", status=500).mark("q", "r", "a")


def test_the_judge_is_asked_for_the_model_with_question_reference_and_answer() -> None:
    heard: list[httpx.Request] = []
    judge("7", heard=heard).mark("When?", "In 30 days.", "Soon.")
    body = json.loads(heard[0].content)
    assert (str(heard[0].url), body["model"]) == ("http://judge/v1/chat/completions", "big")
    assert all(text in body["messages"][1]["content"] for text in ("When?", "In 30 days.", "Soon."))


def test_training_settings_become_those_of_rows_evaluation_and_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_TRAINING_SHARE_DISTRACTORS", "0.3")
    monkeypatch.setenv("TANDEM_TRAINING_REPEAT_WORDS", "9")
    monkeypatch.setenv("TANDEM_TRAINING_GENERAL_MARGIN", "0.2")
    settings = TrainingSettings()
    assert settings.mix().share_distractors == 0.3
    assert settings.evaluation().repeat_words == 9
    assert settings.gate().general_margin == 0.2
    assert settings.gate().style_gain == 0.02
