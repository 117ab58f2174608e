"""A model asked the held-out questions through the server that will serve it, and its answers measured."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Protocol

from retrieval.answerability import answerability
from retrieval.grounding import REFUSAL, cite, grounded_messages, is_refusal, plain_messages
from retrieval.model import Citation, Message, Passage
from retrieval.words import share_of_words, strip_markers
from training.config import EvaluationSettings
from training.errors import Cancelled
from training.model import Cancelled as IsCancelled
from training.model import Completion, Metrics, Question, Share
from training.style import TRAITS, StyleProfile

SHOWN_FAILURES = 5
RELATED = 0.5
"""A passage that carries this share of the reference's words counts as one that answers."""
_WORD = re.compile(r"\w+(?:[.,:'-]\w+)*")


class Retriever(Protocol):
    """The live retriever, as the server asks it."""

    def passages(self, question: str, top_k: int, document: str | None = None) -> list[Passage]:
        """The best passages, best first."""
        ...


class Answerer(Protocol):
    """A served model. Called from several threads at once."""

    def answer(self, messages: list[Message], max_tokens: int) -> Completion:
        """One greedy answer. Raises whatever goes wrong; the question is then counted as failed."""
        ...


@dataclass(frozen=True)
class Trial:
    """One prompt to ask. `removed` marks those whose right passages were taken away."""

    question: Question
    passages: tuple[Passage, ...]
    removed: bool = False

    @property
    def answerable(self) -> bool:
        return self.question.answerable and not self.removed


@dataclass(frozen=True)
class Outcome:
    """A trial and its answer, or what went wrong."""

    trial: Trial
    completion: Completion | None
    error: str = ""


def make_trials(questions: Sequence[Question], retriever: Retriever, settings: EvaluationSettings) -> list[Trial]:
    """Each question with what retrieval brings, and the first `removed` answerable ones again without what answers."""
    trials: list[Trial] = []
    removed: list[Trial] = []
    for question in questions:
        found = retriever.passages(question.question, 2 * settings.top_k)
        trials.append(Trial(question, tuple(found[: settings.top_k])))
        others = [passage for passage in found if not _answers(question, passage)][: settings.top_k]
        if question.answerable and others and len(removed) < settings.removed:
            removed.append(Trial(question, tuple(others), removed=True))
    return [*trials, *removed]


def evaluate(
    trials: Sequence[Trial],
    answerer: Answerer,
    style: StyleProfile,
    settings: EvaluationSettings,
    cancelled: IsCancelled,
    on_answer: Callable[[int, int], None] = lambda _done, _total: None,
) -> Metrics:
    """Ask every trial, several at once, and measure the answers. `on_answer` hears how many are done, and of how many.

    Raises Cancelled between two answers once `cancelled()` says so.
    """
    return measure(ask(trials, answerer, settings, cancelled, on_answer), style)


def ask(
    trials: Sequence[Trial],
    answerer: Answerer,
    settings: EvaluationSettings,
    cancelled: IsCancelled,
    on_answer: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[Outcome]:
    """The outcomes in the order of the trials."""
    with ThreadPoolExecutor(settings.concurrency) as pool:
        futures = [pool.submit(_ask_one, trial, answerer, settings) for trial in trials]
        for done in _finished(futures):
            on_answer(done, len(futures))
            if cancelled():
                pool.shutdown(wait=False, cancel_futures=True)
                raise Cancelled(f"The evaluation was cancelled after {done} of {len(futures)} answers.")
        return [future.result() for future in futures]


def _finished(futures: Sequence[Future[Outcome]]) -> Iterator[int]:
    """How many are done, at each that finishes and once a second."""
    pending = set(futures)
    while pending:
        _, pending = wait(pending, timeout=1.0, return_when=FIRST_COMPLETED)
        yield len(futures) - len(pending)


def _ask_one(trial: Trial, answerer: Answerer, settings: EvaluationSettings) -> Outcome:
    question = trial.question
    if trial.passages and answerability(question.question, trial.passages) < settings.min_answerability:
        return Outcome(trial, Completion(REFUSAL, "stop", 0))
    if trial.passages:
        messages = grounded_messages(question.question, trial.passages, question.history)
    else:
        messages = plain_messages(question.question, question.history)
    try:
        return Outcome(trial, answerer.answer(messages, settings.max_tokens))
    except Exception as error:  # noqa: BLE001 - an adapter may fail in any way; each failure is counted and shown
        return Outcome(trial, None, f"{type(error).__name__}: {error}")


def measure(outcomes: Sequence[Outcome], style: StyleProfile) -> Metrics:
    """The figures of a set of answers. The same answers give the same figures."""
    answered = [(outcome.trial, outcome.completion) for outcome in outcomes if outcome.completion]
    failures = [outcome.error for outcome in outcomes if not outcome.completion]
    right = [(trial, completion.text) for trial, completion in answered if trial.answerable]
    citations = [(trial, cite(text, trial.passages)) for trial, text in right]
    every = [citation for _, found in citations for citation in found]
    with_facts = [(trial.question, text) for trial, text in right if trial.question.facts]
    with_reference = [(trial.question, text) for trial, text in right if trial.question.reference]
    return Metrics(
        questions=len(outcomes),
        failed=len(failures),
        failures=tuple(dict.fromkeys(failures))[:SHOWN_FAILURES],
        style=_style([text for _, text in right if not is_refusal(text)], style),
        facts=_count(has_facts(text, question.facts) for question, text in with_facts),
        token_f1=_count(token_f1(strip_markers(text), question.reference) for question, text in with_reference),
        citation_recall=_count(_cites_right(trial, found) for trial, found in citations),
        citation_precision=_count(citation.supported for citation in every),
        model_made=_count(citation.origin == "model" for citation in every),
        refused_unanswerable=_refusals(answered, lambda trial: not trial.question.answerable),
        refused_removed=_refusals(answered, lambda trial: trial.removed),
        refused_answerable=_refusals(answered, lambda trial: trial.answerable),
        stopped=_count(completion.finish_reason == "stop" for _, completion in answered),
    )


def has_facts(answer: str, facts: Sequence[Sequence[str]]) -> bool:
    """Whether the answer has every fact in one of its spellings, as whole words."""
    text = " ".join(strip_markers(answer).lower().split())
    return all(any(_contains(text, " ".join(spelling.lower().split())) for spelling in fact) for fact in facts)


def token_f1(answer: str, reference: str) -> float:
    """Harmonic mean of precision and recall over words, each counted as often as it stands (SQuAD, Rajpurkar 2016)."""
    given, wanted = (Counter(_WORD.findall(text.lower())) for text in (answer, reference))
    common = (given & wanted).total()
    return 2 * common / (given.total() + wanted.total()) if common else 0.0


def _contains(text: str, spelling: str) -> bool:
    return bool(re.search(rf"(?<![\w]){re.escape(spelling)}(?![\w])", text))


def _cites_right(trial: Trial, found: Sequence[Citation]) -> bool:
    """A supported citation of the document that answers; of any passage where none is named."""
    wanted = trial.question.document
    return any(one.supported and (wanted is None or one.passage.chunk.filename == wanted) for one in found)


def _answers(question: Question, passage: Passage) -> bool:
    if question.document:
        return passage.chunk.filename == question.document
    return share_of_words(question.reference, passage.chunk.text) >= RELATED


def _style(texts: Sequence[str], profile: StyleProfile) -> dict[str, Share]:
    scores = [profile.score(text) for text in texts if text.strip()]
    traits = {trait: [value for score in scores if (value := getattr(score, trait)) is not None] for trait in TRAITS}
    shares = {trait: _count(values) for trait, values in traits.items()}
    return {**shares, "overall": _count(score.overall for score in scores)}


def _refusals(answered: Sequence[tuple[Trial, Completion]], which: Callable[[Trial], bool]) -> Share:
    return _count(is_refusal(completion.text) for trial, completion in answered if which(trial))


def _count(values: Iterable[float]) -> Share:
    counted = [float(value) for value in values]
    return Share(math.fsum(counted), len(counted))
