from __future__ import annotations

import threading

import pytest

from retrieval.grounding import REFUSAL
from retrieval.model import Message
from tests.training_fakes import FunctionAnswerer, WordRetriever, passage
from training.config import EvaluationSettings
from training.errors import Cancelled
from training.evaluation import ask, evaluate, has_facts, make_trials, token_f1
from training.model import Completion, Metrics, Question
from training.style import StyleProfile

RETURNS = passage("returns.md", "A bike may be returned within 30 days of delivery.")
BATTERY = passage("battery.md", "The battery is charged for 4 hours.")
RETRIEVER = WordRetriever([RETURNS, BATTERY])
STYLE = StyleProfile.fit(["You may return a bike within 30 days."] * 3, ["May a bike be returned?"])
RETURN = Question("When may a bike be returned?", True, "returns.md", "Within 30 days.", (("30 days", "thirty days"),))
PAINT = Question("Which paint is used?", False)
SETTINGS = EvaluationSettings(top_k=1, concurrency=2, removed=1)


def measured(answerer: FunctionAnswerer, questions: list[Question]) -> Metrics:
    return evaluate(make_trials(questions, RETRIEVER, SETTINGS), answerer, STYLE, SETTINGS, lambda: False)


def good(prompt: str) -> str:
    return "You may return a bike within 30 days [1]." if "30 days" in prompt and "paint" not in prompt else REFUSAL


def test_a_model_that_does_all_right_has_full_marks() -> None:
    metrics = measured(FunctionAnswerer(good), [RETURN, PAINT])
    assert metrics.questions == 3  # one answerable, the same without its passage, one that nothing answers
    assert (metrics.facts.value, metrics.citation_recall.value, metrics.citation_precision.value) == (1.0, 1.0, 1.0)
    assert metrics.refused_unanswerable.value == metrics.refused_removed.value == 1.0
    assert metrics.refused_answerable.value == 0.0
    assert (metrics.model_made.value, metrics.stopped.value, metrics.failed) == (1.0, 1.0, 0)
    assert metrics.style["overall"].value == pytest.approx(1.0, abs=0.1)


def test_a_wrong_figure_is_neither_a_fact_nor_a_supported_citation() -> None:
    metrics = measured(FunctionAnswerer(lambda _: "You may return a bike within 90 days [1]."), [RETURN])
    assert metrics.facts.value == 0.0
    assert metrics.citation_recall.value == 0.0
    assert metrics.citation_precision.value == 0.0


def test_a_question_that_the_server_refuses_never_reaches_the_model() -> None:
    settings = EvaluationSettings(top_k=1, min_answerability=1.0)
    trials = make_trials([Question("How many days to return a bike?", True)], RETRIEVER, settings)
    answers = ask(trials, FunctionAnswerer(lambda _prompt: "The model was asked."), settings, lambda: False)
    assert {one.completion.text if one.completion else "" for one in answers} == {REFUSAL}


def test_an_answer_that_was_cut_did_not_stop() -> None:
    assert measured(FunctionAnswerer(good, "length"), [RETURN]).stopped.value == 0.0


def test_failures_are_counted_and_enter_no_average() -> None:
    def sometimes(prompt: str) -> str:
        if "paint" in prompt:
            raise ConnectionError("the slot is gone")
        return good(prompt)

    metrics = measured(FunctionAnswerer(sometimes), [RETURN, PAINT])
    assert metrics.failed == 1
    assert metrics.failures == ("ConnectionError: the slot is gone",)
    assert metrics.refused_unanswerable.value is None
    assert metrics.facts.value == 1.0


def test_figures_are_plain_values() -> None:
    figures = measured(FunctionAnswerer(good), [RETURN, PAINT]).figures()
    assert figures["facts"] == 1.0
    assert set(figures["style"]) == {"register", "terminology", "structure", "length", "overall"}


def test_questions_are_asked_several_at_once() -> None:
    both = threading.Barrier(2, timeout=10)

    class Waiting:
        def answer(self, messages: list[Message], max_tokens: int) -> Completion:
            both.wait()
            return Completion(REFUSAL, "stop", min(len(messages), max_tokens))

    trials = make_trials([PAINT, PAINT], RETRIEVER, SETTINGS)
    assert evaluate(trials, Waiting(), STYLE, SETTINGS, lambda: False).failed == 0


def test_a_cancelled_evaluation_stops_asking() -> None:
    answerer = FunctionAnswerer(good)
    trials = make_trials([RETURN] * 200, RETRIEVER, SETTINGS)
    with pytest.raises(Cancelled, match="cancelled after"):
        evaluate(trials, answerer, STYLE, SETTINGS, lambda: True)
    assert answerer.asked < len(trials)


def test_facts_are_found_as_whole_words_in_any_spelling() -> None:
    assert has_facts("Within  THIRTY days [1].", [["30 days", "thirty days"]])
    assert not has_facts("It costs £1150.", [["£115"]])
    assert has_facts("It costs £115.", [["£115"]])


def test_token_f1_counts_common_words() -> None:
    assert token_f1("a b c", "a b d") == pytest.approx(2 / 3)
    assert token_f1("", "a") == 0.0
