from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from retrieval.answers.grounding import REFUSAL
from retrieval.model import Message
from retrieval.text.facts import facts_in
from tests.support.training.fakes import FunctionAnswerer, WordRetriever, example, passage
from training.config import EvaluationSettings
from training.errors import Cancelled
from training.judging.evaluation import Answerer, Judge, ask, evaluate, make_trials
from training.judging.figures import Metrics
from training.judging.probes import Probe
from training.judging.questions import Completion, Question
from training.judging.repetition import TrainedText
from training.judging.scoring import Standards
from training.judging.style import StyleProfile

RETURNS = passage("returns.md", "A bike may be returned within 30 days of delivery.")
BATTERY = passage("battery.md", "The battery is charged for 4 hours.")
RETRIEVER = WordRetriever([RETURNS, BATTERY])
STYLE = StyleProfile.fit(["You may return a bike within 30 days."] * 3, ["May a bike be returned?"])
RETURN = Question("When may a bike be returned?", True, "returns.md", "Within 30 days.", (("30 days", "thirty days"),))
PAINT = Question("Which paint is used?", False)
SETTINGS = EvaluationSettings(top_k=1, concurrency=2, removed=1)
STANDARDS = Standards(STYLE)


def measured(
    answerer: Answerer, questions: list[Question], probes: list[Probe] | None = None, judge: Judge | None = None
) -> Metrics:
    trials = make_trials(questions, RETRIEVER, SETTINGS)
    return evaluate(trials, probes or [], answerer, STANDARDS, SETTINGS, lambda: False, judge=judge)


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


def test_an_answer_that_tells_what_is_not_covered_is_not_counted_as_a_refusal() -> None:
    retriever = WordRetriever([passage("policy.md", "The policy does not cover water damage.")])
    trials = make_trials([Question("Does the policy cover water damage?", True, "policy.md")], retriever, SETTINGS)
    told = FunctionAnswerer(lambda _: "The policy does not cover water damage [1].")
    metrics = evaluate(trials, [], told, STANDARDS, replace(SETTINGS, removed=0), lambda: False)
    assert (metrics.refused_answerable.value, metrics.citation_recall.value, metrics.marked.value) == (0.0, 1.0, 1.0)


def test_a_question_that_the_server_refuses_never_reaches_the_model() -> None:
    settings = EvaluationSettings(top_k=1, min_answerability=1.0)
    trials = make_trials([Question("How many days to return a bike?", True)], RETRIEVER, settings)
    answers = ask(trials, FunctionAnswerer(lambda _prompt: "The model was asked."), settings, lambda: False)
    assert {one.completion.text if one.completion else "" for one in answers} == {REFUSAL}


def test_what_the_guard_refuses_in_serving_is_refused_in_the_evaluation() -> None:
    made_up = "Your share price is 1.25% of the company [1]."
    trials = make_trials([RETURN], RETRIEVER, SETTINGS)[:1]

    def text(answer: str, guarded: bool) -> str:
        settings = replace(SETTINGS, guarded=guarded)
        (outcome,) = ask(trials, FunctionAnswerer(lambda _prompt: answer), settings, lambda: False)
        return outcome.completion.text if outcome.completion else ""

    assert (text(made_up, guarded=True), text(made_up, guarded=False)) == (REFUSAL, made_up)
    supported = "You may return a bike within 30 days [1]. The rest is made up."
    assert text(supported, guarded=True) == supported


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
    assert figures["repeated"] is None
    assert set(figures["style"]) == {"register", "terminology", "structure", "length", "overall"}


def test_questions_are_asked_several_at_once() -> None:
    both = threading.Barrier(2, timeout=10)

    class Waiting:
        def answer(self, messages: list[Message], max_tokens: int) -> Completion:
            both.wait()
            return Completion(REFUSAL, "stop", min(len(messages), max_tokens))

    assert measured(Waiting(), [PAINT, PAINT]).failed == 0


def test_a_cancelled_evaluation_stops_asking() -> None:
    answerer = FunctionAnswerer(good)
    trials = make_trials([RETURN] * 200, RETRIEVER, SETTINGS)
    with pytest.raises(Cancelled, match="cancelled after"):
        evaluate(trials, [], answerer, STANDARDS, SETTINGS, lambda: True)
    assert answerer.asked < len(trials)


def test_each_prompt_keeps_its_own_figures() -> None:
    scores = measured(FunctionAnswerer(good), [RETURN, PAINT]).scores
    assert [(one.prompt, one.removed) for one in scores] == [
        (RETURN.question, False), (PAINT.question, False), (RETURN.question, True),
    ]  # fmt: skip
    answered, unanswerable, removed = (one.values for one in scores)
    assert (answered["fact_recall"], answered["citation_recall"], answered["marked"], answered["decided"]) == (
        1,
        1,
        1,
        1,
    )
    assert 0 < answered["token_f1"] < 1
    assert unanswerable == {"stopped": 1.0, "decided": 1.0, "refused_unanswerable": 1.0}
    assert removed == {"stopped": 1.0, "decided": 1.0, "refused_removed": 1.0}


def test_a_citation_by_the_server_is_no_marker_of_the_models_own() -> None:
    metrics = measured(FunctionAnswerer(lambda _: "You may return a bike within 30 days."), [RETURN])
    assert metrics.citation_recall.value == 1.0
    assert (metrics.marked.value, metrics.model_made.value) == (0.0, 0.0)
    assert metrics.marker_precision.value is None


def test_a_citation_of_another_document_that_answers_is_right_too() -> None:
    elsewhere = replace(RETURN, document="terms.md")
    assert measured(FunctionAnswerer(good), [elsewhere]).citation_recall.value == 0.0
    both = replace(elsewhere, other_documents=("returns.md",))
    assert measured(FunctionAnswerer(good), [both]).citation_recall.value == 1.0


def test_half_of_the_required_facts_is_half_a_recall_and_not_all_facts() -> None:
    asked = Question("When may a bike be returned?", True, "returns.md", "", (("30 days",), ("150 km",)))
    metrics = measured(FunctionAnswerer(good), [asked])
    assert (metrics.fact_recall.value, metrics.facts.value) == (0.5, 0.0)


def test_probes_are_asked_without_passages_and_one_that_cannot_be_asked_has_failed() -> None:
    def calculator(prompt: str) -> str:
        if prompt == "break":
            raise ConnectionError("gone")
        return "It is 9." if prompt == "What is 4 + 5?" else "No idea."

    probes = [Probe("What is 4 + 5?", ("9", "nine")), Probe("What is 1 + 1?", ("2",)), Probe("break", ("x",))]
    metrics = measured(FunctionAnswerer(calculator), [], probes)
    assert (metrics.general.hits, metrics.general.of) == (1, 2)
    assert (metrics.questions, metrics.failed, metrics.failures) == (3, 1, ("ConnectionError: gone",))


def test_an_answer_that_recites_the_answer_to_another_question_repeats() -> None:
    learned = "The saddle is set so high that your knee is slightly bent when the pedal stands at its lowest point."
    trained = TrainedText([example("How high is the saddle?", learned)], 8)
    trials = make_trials([RETURN], RETRIEVER, SETTINGS)
    answerer = FunctionAnswerer(lambda _: learned)
    metrics = evaluate(trials, [], answerer, Standards(STYLE, trained), SETTINGS, lambda: False)
    assert metrics.repeated.value == 1.0
    assert metrics.longest_repeat == 20
    assert measured(answerer, [RETURN]).repeated.value is None


class FixedJudge:
    """Gives the same mark to every answer, and breaks at the one after `breaks_after`."""

    def __init__(self, breaks_after: int = 100) -> None:
        self.left = breaks_after

    def mark(self, question: str, reference: str, answer: str) -> float:
        if self.left == 0:
            raise ConnectionError("the judge is gone")
        self.left -= 1
        return 0.7


def test_a_judge_marks_the_answers_that_have_a_reference() -> None:
    metrics = measured(FunctionAnswerer(good), [RETURN, PAINT], judge=FixedJudge())
    assert (metrics.judged.value, metrics.judged.of, metrics.judge_error) == (0.7, 1, "")


def test_a_judge_that_fails_fails_no_run_and_keeps_what_it_said_before() -> None:
    metrics = measured(FunctionAnswerer(good), [RETURN, PAINT, RETURN, RETURN], judge=FixedJudge(breaks_after=1))
    assert (metrics.judged.of, metrics.failed) == (1, 0)
    assert "ConnectionError: the judge is gone" in metrics.judge_error
    assert metrics.facts.of == 3


def test_facts_are_found_as_whole_words_in_any_spelling() -> None:
    assert facts_in("Within  THIRTY days [1].", [["30 days", "thirty days"]]) == 1
    assert facts_in("It costs £1150.", [["£115"]]) == 0
    assert facts_in("It costs £115, for 3 days.", [["£115"], ["3 days"], ["4 days"]]) == 2


def test_a_held_out_example_requires_the_facts_it_names_else_the_figures_of_its_answer() -> None:
    asked = example("When?", "Within 30 days.\n\n1. Less than 1,150 km [2].\n2. A fee of 5.50.", document="a.md")
    assert Question.of(asked).facts == (("30",), ("1,150",), ("5.50",))
    named = example("When?", "Within 30 days.", document="a.md", facts=["30 days", ["a month", "one month"]])
    assert Question.of(named).facts == (("30 days",), ("a month", "one month"))
    assert Question.of(example("When?", "Ask in 2 days.", document=None)).facts == ()
