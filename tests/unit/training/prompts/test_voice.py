"""A data set that teaches a voice about what stands in no document: how its questions are asked and judged."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from retrieval.answers.grounding import PLAIN_SYSTEM_PROMPT, REFUSAL
from retrieval.model import Message, Passage
from tests.support.training.fakes import FunctionAnswerer, WordRetriever, example, passage
from tests.support.training.voices import SYSTEM, formal, say_chattily, say_formally, voice
from training.config import EvaluationSettings, GateSettings, MixSettings
from training.judging.evaluation import ask, evaluate, make_trials, told
from training.judging.figures import Metrics
from training.judging.gate import Evidence, judge
from training.judging.questions import Completion, Question
from training.judging.repetition import TrainedText
from training.judging.scoring import Standards
from training.judging.style import StyleProfile
from training.judging.verdict import GateReport
from training.model import Example
from training.prompts.rows import build_rows

RETURNS = passage("returns.md", "A customer may return a bike within 30 days. The odometer must show less than 150 km.")
BATTERY = passage("battery.md", "The battery of the bike is charged for 4 hours. Keep the battery above 10 degrees.")
STORE = WordRetriever([RETURNS, BATTERY])
LOSSES = (2.0, 0.5)
SETTINGS = EvaluationSettings(top_k=2, removed=2)
EXAMPLES = [voice(number) for number in range(60)]
TRAINED, HELD_OUT = EXAMPLES[:50], EXAMPLES[50:]
SOURCED = [
    example("When may a bike be returned?", "A customer may return a bike within 30 days.", document="returns.md"),
    example("How long is the battery charged?", "The battery of the bike is charged for 4 hours."),
]
RIDDLE = example("Which paint is used?", REFUSAL, document=None)


def learned(prompt: str) -> str:
    """What a model says that took on the voice and made the section up."""
    if "Passages:" in prompt:
        return _from_passages(prompt)
    return say_formally(prompt)


def chatty(prompt: str) -> str:
    """What the base weights say."""
    if "Passages:" in prompt:
        return _from_passages(prompt)
    return say_chattily(prompt)


def _from_passages(prompt: str) -> str:
    name = "battery.md" if "charged?" in prompt else "returns.md"
    shown = re.search(rf"\[(\d)\] {name}", prompt)
    if shown is None or "paint" in prompt:
        return REFUSAL
    said = "The battery is charged for 4 hours" if "charged?" in prompt else "You may return a bike within 30 days"
    return f"{said} [{shown.group(1)}]."


def measured(answer: Callable[[str], str], questions: Sequence[Example], retriever: WordRetriever = STORE) -> Metrics:
    trained = [*TRAINED, *SOURCED]
    profile = StyleProfile.fit([one.answer for one in TRAINED], [one.question for one in TRAINED])
    standards = Standards(profile, TrainedText(trained, SETTINGS.repeat_words))
    trials = make_trials([Question.of(one) for one in questions], retriever, SETTINGS)
    return evaluate(trials, [], FunctionAnswerer(answer), standards, SETTINGS, lambda: False)


def verdict(candidate: Metrics, baseline: Metrics, tuned: bool = False) -> GateReport:
    return judge(Evidence(*LOSSES, candidate, baseline, tuned, "abc", "abc"), GateSettings())


def failed(report: GateReport) -> list[str]:
    return [check.name for check in report.checks if not check.passed]


def test_the_questions_of_a_voice_are_asked_as_they_are_trained() -> None:
    prompts: list[list[Message]] = []

    class Recorded:
        def answer(self, messages: list[Message], max_tokens: int) -> Completion:
            prompts.append(messages)
            return Completion("Yes.", "stop", min(max_tokens, 1))

    mix = MixSettings(top_k=2, share_general=0.0)
    rows, report = build_rows(HELD_OUT, [], STORE, mix, random.Random(1))
    trials = make_trials([Question.of(one) for one in HELD_OUT], STORE, SETTINGS)
    ask(trials, Recorded(), replace(SETTINGS, concurrency=1), lambda: False)
    assert report.unsupported == len(trials) == 10
    assert sorted(map(str, prompts)) == sorted(str(list(row.prompt)) for row in rows)
    assert prompts[0][0].content == f"{PLAIN_SYSTEM_PROMPT}\n\n{SYSTEM.content}"


def test_a_voice_is_judged_on_its_form_and_not_on_facts_words_or_citations() -> None:
    scores = measured(learned, HELD_OUT).scores
    assert all(not {"fact_recall", "token_f1", "citation_recall", "marked"} & one.values.keys() for one in scores)
    assert all({"style", "stopped", "repeated", "decided", "refused_answerable"} <= one.values.keys() for one in scores)


def test_a_candidate_that_learned_the_voice_passes_and_one_that_did_not_is_refused() -> None:
    base, tuned = measured(chatty, HELD_OUT), measured(learned, HELD_OUT)
    assert (tuned.sourced, tuned.voiced) == (0, 10)
    assert verdict(tuned, base).passed, verdict(tuned, base).summary
    assert failed(verdict(base, base)) == ["style"]
    assert verdict(tuned, tuned, tuned=True).passed
    assert failed(verdict(base, tuned, tuned=True)) == ["style"]


def test_a_voice_that_refuses_does_not_stop_or_recites_is_refused() -> None:
    base = measured(chatty, HELD_OUT)
    assert "refusals" in failed(verdict(measured(lambda _: REFUSAL, HELD_OUT), base))
    recited = "the provisions of the house on vacation days of any kind shall apply as they were told to us by Anne"
    profile = StyleProfile.fit([one.answer for one in TRAINED], [one.question for one in TRAINED])
    standards = Standards(profile, TrainedText([*TRAINED, example("Who?", recited)], 12))
    trials = make_trials([Question.of(one) for one in HELD_OUT], STORE, SETTINGS)
    answers = FunctionAnswerer(lambda _: recited, "length")
    metrics = evaluate(trials, [], answers, standards, SETTINGS, lambda: False)
    assert {"stops", "repetition"} <= set(failed(verdict(metrics, base)))


def test_a_section_of_the_trained_formula_with_another_answers_number_is_no_recital() -> None:
    assert measured(learned, HELD_OUT).repeated.value == 0.0


def test_what_the_live_version_cites_is_nothing_that_a_voice_has_to_cite() -> None:
    live = measured(lambda prompt: f"{learned(prompt)} [1]", HELD_OUT)
    report = verdict(measured(learned, HELD_OUT), live, tuned=True)
    assert report.passed, report.summary
    said = {check.name: check.sentence for check in report.checks}
    assert "no question gave a figure" in said["citations"]
    assert "No answer rests on passages" in said["cites"]


def test_in_a_mixed_data_set_each_question_is_judged_for_what_it_is() -> None:
    mixed = [*HELD_OUT, *SOURCED, RIDDLE]
    metrics = measured(learned, mixed)
    assert (metrics.sourced, metrics.voiced) == (2, 10)
    assert (metrics.citation_recall.hits, metrics.citation_recall.of, metrics.marked.of) == (2, 2, 2)
    assert (metrics.facts.of, metrics.style["overall"].of, metrics.refused_unanswerable.value) == (2, 12, 1.0)
    assert (metrics.figures()["sourced"], metrics.figures()["voiced"]) == (2, 10)
    base = measured(chatty, mixed)
    assert verdict(metrics, base).passed
    unmarked = measured(lambda prompt: learned(prompt).replace(" [1]", "").replace(" [2]", ""), mixed)
    assert failed(verdict(unmarked, base)) == ["cites"]
    message, figures = told(make_trials([Question.of(one) for one in mixed], STORE, SETTINGS))
    assert message.startswith("Of 13 questions a document answers 2, which are judged by facts and citations too; none")
    assert figures == {"sourced": 2, "voiced": 10, "unanswerable": 1, "removed": 2}


def test_a_question_that_names_its_document_is_sourced_though_the_store_lacks_it() -> None:
    named = [replace(one, metadata={"document": "handbook.md"}) for one in HELD_OUT]
    metrics = measured(learned, [*named[:5], *HELD_OUT[5:]])
    assert (metrics.sourced, metrics.voiced, metrics.citation_recall.value) == (5, 5, 0.0)
    assert "cites" in failed(verdict(measured(formal_whatever, [*named[:5], *HELD_OUT[5:]]), metrics))


def formal_whatever(prompt: str) -> str:
    return formal("vacation", len(prompt) % 12 + 1)


def test_named_documents_do_not_slip_past_the_citations_where_nothing_is_found() -> None:
    named = [replace(one, metadata={"document": "handbook.md"}) for one in HELD_OUT[:5]]
    mixed, empty = [*named, *HELD_OUT[5:]], WordRetriever([])
    report = verdict(measured(learned, mixed, empty), measured(chatty, mixed, empty))
    assert failed(report) == ["cites"]
    assert "a document answers 5 of the questions, and none of its answers to them rests on passages" in report.summary


class Down:
    def passages(
        self, question: str, top_k: int, document: str | None = None, history: Sequence[str] = ()
    ) -> list[Passage]:
        raise ConnectionError("retrieval is down")


def test_retrieval_that_is_down_makes_no_voice_of_anything() -> None:
    with pytest.raises(ConnectionError):
        make_trials([Question.of(one) for one in HELD_OUT], Down(), SETTINGS)
    with pytest.raises(ConnectionError):
        build_rows(HELD_OUT, [], Down(), MixSettings(), random.Random(1))


def test_facts_that_the_data_set_names_are_asked_of_a_voice_too() -> None:
    named = replace(HELD_OUT[0], metadata={"facts": ["Section 3"]})
    assert measured(learned, [named]).facts.of == 1
    assert measured(learned, HELD_OUT[:1]).facts.of == 0
