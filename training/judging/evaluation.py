"""Asks one model the held-out questions, through the server that will serve it.

This module asks and collects the answers; `scoring` turns them into figures, and `gate` compares the figures of two
models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from retrieval.answers.answerability import answerability
from retrieval.answers.conversation import Conversation
from retrieval.answers.grounding import REFUSAL
from retrieval.answers.guard import opens_supported
from retrieval.model import Message, Passage
from retrieval.search.follow_up import standalone_query
from training.carrying import carries, source
from training.config import EvaluationSettings
from training.errors import Cancelled
from training.judging.figures import Metrics
from training.judging.probes import Probe
from training.judging.questions import Completion, Question
from training.judging.scoring import Outcome, ProbeOutcome, Standards, Trial, measure
from training.progress import MustStop
from training.retriever import Retriever

OnAnswer = Callable[[int, int], None]
Answered = TypeVar("Answered")


class Answerer(Protocol):
    """A served model. Called from several threads at once."""

    def answer(self, messages: list[Message], max_tokens: int) -> Completion:
        """One greedy answer. Raises whatever goes wrong; the question is then counted as failed."""
        ...


class Judge(Protocol):
    """An external model that grades answers."""

    def mark(self, question: str, reference: str, answer: str) -> float:
        """In 0..1: how well the answer agrees with the reference in content and style. Raises whatever goes wrong."""
        ...


def make_trials(questions: Sequence[Question], retriever: Retriever, settings: EvaluationSettings) -> list[Trial]:
    """Each question in the form it is trained in: with the passages of retrieval, or without if no document answers it.

    The first `removed` of the questions that a document answers are asked again without the passages that answer.
    """
    trials: list[Trial] = []
    removed: list[Trial] = []
    for question in questions:
        found = retriever.passages(question.question, 2 * settings.top_k, history=question.conversation.earlier)
        shown = tuple(found[: settings.top_k])
        if question.answerable and not is_sourced(question, shown):
            trials.append(Trial(as_voice(question), (), sourced=False))
            continue
        trials.append(Trial(question, shown))
        others = [passage for passage in found if not _answers(question, passage)][: settings.top_k]
        if question.answerable and others and len(removed) < settings.removed:
            removed.append(Trial(question, tuple(others), removed=True))
    return [*trials, *removed]


def is_sourced(question: Question, passages: Sequence[Passage]) -> bool:
    """Whether a document answers: one that the data set names, in the store or not, else one of these passages, by the
    rule that makes rows of training examples. Without a reference to decide by, the answer is yes.
    """
    return bool(question.documents) or not question.reference or source(question.reference, passages) is not None


def as_voice(question: Question) -> Question:
    """The question without facts that only a document could give, which are the figures of its reference."""
    return replace(question, facts=()) if question.facts_are_figures else question


def told(trials: Sequence[Trial]) -> tuple[str, dict[str, Any]]:
    """What is asked, as an event: a sentence and its figures."""
    asked = [trial for trial in trials if not trial.removed]
    answerable = [trial.sourced for trial in asked if trial.answerable]
    figures = {
        "sourced": sum(answerable),
        "voiced": len(answerable) - sum(answerable),
        "unanswerable": len(asked) - len(answerable),
        "removed": len(trials) - len(asked),
    }
    message = (
        f"Of {len(asked)} questions a document answers {figures['sourced']}, which are judged by facts and citations "
        f"too; none answers {figures['voiced']}, which are asked without passages and judged as a voice; "
        f"{figures['unanswerable']} are to be refused, and {figures['removed']} come again without what answers them."
    )
    return message, figures


def evaluate(
    trials: Sequence[Trial],
    probes: Sequence[Probe],
    answerer: Answerer,
    standards: Standards,
    settings: EvaluationSettings,
    cancelled: MustStop,
    on_answer: OnAnswer = lambda _done, _total: None,
    judge: Judge | None = None,
) -> Metrics:
    """Ask every trial and probe, several at once, and measure the answers.

    `on_answer` gets how many are done, and the total. Raises Cancelled between two answers once `cancelled()` says so.
    A judge that fails is not asked again, and the evaluation goes on: the figures say why.
    """
    total = len(trials) + len(probes)
    outcomes = ask(trials, answerer, settings, cancelled, lambda done, _: on_answer(done, total))
    passed = ask_probes(probes, answerer, settings, cancelled, lambda done, _: on_answer(len(trials) + done, total))
    outcomes, judge_error = judged(outcomes, judge, cancelled) if judge else (outcomes, "")
    return measure(outcomes, standards, passed, judge_error)


def ask(
    trials: Sequence[Trial],
    answerer: Answerer,
    settings: EvaluationSettings,
    cancelled: MustStop,
    on_answer: OnAnswer = lambda _done, _total: None,
) -> list[Outcome]:
    """The outcomes in the order of the trials."""
    return _each(trials, lambda trial: _ask_one(trial, answerer, settings), settings, cancelled, on_answer)


def ask_probes(
    probes: Sequence[Probe],
    answerer: Answerer,
    settings: EvaluationSettings,
    cancelled: MustStop,
    on_answer: OnAnswer = lambda _done, _total: None,
) -> list[ProbeOutcome]:
    """Whether each probe is passed, in their order. They are asked in the same way as by a mode without retrieval."""
    return _each(probes, lambda probe: _ask_probe(probe, answerer, settings), settings, cancelled, on_answer)


def judged(outcomes: Sequence[Outcome], judge: Judge, cancelled: MustStop) -> tuple[list[Outcome], str]:
    """The outcomes with the judge's marks of answerable questions, and why the judging ended early, if it did."""
    marked: list[Outcome] = []
    for outcome in outcomes:
        question, completion = outcome.trial.question, outcome.completion
        if completion is None or not (outcome.trial.answerable and question.reference):
            marked.append(outcome)
            continue
        if cancelled():
            raise Cancelled("The evaluation was cancelled while its answers were judged.")
        try:
            mark = judge.mark(question.question, question.reference, completion.text)
        except Exception as error:  # noqa: BLE001 - a judge is optional; whatever it does, the run goes on
            why = f"The judge failed after {len(marked)} of {len(outcomes)} answers: {type(error).__name__}: {error}"
            return [*marked, *outcomes[len(marked) :]], why
        marked.append(replace(outcome, judged=min(1.0, max(0.0, mark))))
    return marked, ""


Asked = TypeVar("Asked")


def _each(
    asked: Sequence[Asked],
    answer: Callable[[Asked], Answered],
    settings: EvaluationSettings,
    cancelled: MustStop,
    on_answer: OnAnswer,
) -> list[Answered]:
    with ThreadPoolExecutor(settings.concurrency) as pool:
        futures = [pool.submit(answer, one) for one in asked]
        for done in _finished(futures):
            on_answer(done, len(futures))
            if cancelled():
                pool.shutdown(wait=False, cancel_futures=True)
                raise Cancelled(f"The evaluation was cancelled after {done} of {len(futures)} answers.")
        return [future.result() for future in futures]


def _finished(futures: Sequence[Future[Answered]]) -> Iterator[int]:
    """How many are done, after each one that finishes and once a second."""
    pending = set(futures)
    while pending:
        _, pending = wait(pending, timeout=1.0, return_when=FIRST_COMPLETED)
        yield len(futures) - len(pending)


def _ask_one(trial: Trial, answerer: Answerer, settings: EvaluationSettings) -> Outcome:
    question = trial.question
    asked = question.conversation
    searched = standalone_query(asked.question, asked.earlier)
    if trial.passages and answerability(searched, trial.passages) < settings.min_answerability:
        return Outcome(trial, Completion(REFUSAL, "stop", 0))
    messages = asked.grounded(trial.passages) if trial.passages else asked.plain()
    try:
        completion = answerer.answer(messages, settings.max_tokens)
        if settings.guarded and trial.passages and not opens_supported(completion.text, trial.passages):
            completion = replace(completion, text=REFUSAL, finish_reason="stop")
        return Outcome(trial, completion)
    except Exception as error:  # noqa: BLE001 - an adapter may fail in any way; each failure is counted and shown
        return Outcome(trial, None, f"{type(error).__name__}: {error}")


def _ask_probe(probe: Probe, answerer: Answerer, settings: EvaluationSettings) -> ProbeOutcome:
    try:
        completion = answerer.answer(Conversation(probe.prompt).plain(), settings.probe_tokens)
    except Exception as error:  # noqa: BLE001 - as above
        return ProbeOutcome(probe.prompt, None, f"{type(error).__name__}: {error}")
    return ProbeOutcome(probe.prompt, probe.passes(completion.text))


def _answers(question: Question, passage: Passage) -> bool:
    if question.documents:
        return passage.chunk.filename in question.documents
    return carries(question.reference, passage)
