"""Turns the answers of one model into figures: first for each prompt, then for all together.

No model is asked here (`evaluation` does that) and nothing is decided (`gate` does). The same answers give the same
figures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from retrieval.answers.grounding import cite, is_refusal
from retrieval.metrics import token_f1
from retrieval.model import Citation, Passage
from retrieval.text.facts import facts_in
from retrieval.text.markers import strip_markers
from training.judging.figures import Metrics, PromptScore, Share
from training.judging.questions import Completion, Question
from training.judging.repetition import TrainedText
from training.judging.style import TRAITS, StyleProfile

SHOWN_FAILURES = 5


@dataclass(frozen=True)
class Trial:
    """One prompt to ask. `removed` marks those whose right passages were taken away.

    If an answerable one is not `sourced`, no document answers it. It is asked without passages and judged only by its
    style of answering, since nothing says what is right.
    """

    question: Question
    passages: tuple[Passage, ...]
    removed: bool = False
    sourced: bool = True

    @property
    def answerable(self) -> bool:
        return self.question.answerable and not self.removed


@dataclass(frozen=True)
class Outcome:
    """A trial and its answer, or what went wrong; `judged` is an external judge's mark of it, in 0..1."""

    trial: Trial
    completion: Completion | None
    error: str = ""
    judged: float | None = None


@dataclass(frozen=True)
class ProbeOutcome:
    """A probe of general ability and whether its answer passes; None if asking failed."""

    prompt: str
    passed: bool | None
    error: str = ""


@dataclass(frozen=True)
class Standards:
    """What answers are measured by. Without `trained`, repetition is not checked."""

    style: StyleProfile
    trained: TrainedText | None = None


@dataclass(frozen=True)
class _Marked:
    """An outcome with what was found in its answer."""

    outcome: Outcome
    values: dict[str, float]
    citations: tuple[Citation, ...] = ()
    longest_repeat: int = 0


def measure(
    outcomes: Sequence[Outcome], standards: Standards, probes: Sequence[ProbeOutcome] = (), judge_error: str = ""
) -> Metrics:
    """The figures of a set of answers."""
    marked = [_mark(outcome, standards) for outcome in outcomes]
    scores = [_score(one) for one in marked] + [_probe_score(probe) for probe in probes]
    failures = [error for error in (*(one.error for one in outcomes), *(one.error for one in probes)) if error]
    citations = [citation for one in marked for citation in one.citations]
    answerable = [outcome.trial.sourced for outcome in outcomes if outcome.trial.answerable]

    def share(figure: str) -> Share:
        return _count(score.values[figure] for score in scores if figure in score.values)

    return Metrics(
        questions=len(scores),
        failed=len(failures),
        failures=tuple(dict.fromkeys(failures))[:SHOWN_FAILURES],
        style={trait: share(f"style_{trait}") for trait in TRAITS} | {"overall": share("style")},
        facts=share("facts"),
        fact_recall=share("fact_recall"),
        token_f1=share("token_f1"),
        citation_recall=share("citation_recall"),
        citation_precision=_count(citation.supported for citation in citations),
        model_made=_count(citation.origin == "model" for citation in citations),
        marked=share("marked"),
        marker_precision=share("marker_precision"),
        refused_unanswerable=share("refused_unanswerable"),
        refused_removed=share("refused_removed"),
        refused_answerable=share("refused_answerable"),
        decided=share("decided"),
        stopped=share("stopped"),
        general=share("general"),
        repeated=share("repeated"),
        judged=share("judged"),
        longest_repeat=max((one.longest_repeat for one in marked), default=0),
        judge_error=judge_error,
        sourced=sum(answerable),
        voiced=len(answerable) - sum(answerable),
        scores=tuple(scores),
    )


def _score(marked: _Marked) -> PromptScore:
    trial = marked.outcome.trial
    return PromptScore(trial.question.question, marked.values, trial.removed)


def _probe_score(probe: ProbeOutcome) -> PromptScore:
    return PromptScore(probe.prompt, {} if probe.passed is None else {"general": float(probe.passed)})


def _mark(outcome: Outcome, standards: Standards) -> _Marked:
    if outcome.completion is None:
        return _Marked(outcome, {})
    trial, text = outcome.trial, outcome.completion.text
    refused = is_refusal(text, trial.passages)
    citations = tuple(cite(text, trial.passages)) if trial.answerable else ()
    values = {
        "stopped": float(outcome.completion.finish_reason == "stop"),
        "decided": float(refused is not trial.answerable),
        _refusal_figure(trial): float(refused),
    }
    if trial.answerable:
        values |= _facts(trial.question, text)
    if trial.answerable and trial.sourced:
        values |= _wording(trial.question, text) | {"citation_recall": float(_cites_right(trial, citations))}
    if trial.answerable and not refused:
        values |= _style(text, standards.style) | _markers(trial, citations)
    if outcome.judged is not None:
        values["judged"] = outcome.judged
    longest = 0
    if standards.trained and not refused:
        longest = _longest_repeat(trial, text, standards.trained)
        values["repeated"] = float(longest > 0)
    return _Marked(outcome, values, citations, longest)


def _refusal_figure(trial: Trial) -> str:
    if trial.removed:
        return "refused_removed"
    return "refused_answerable" if trial.answerable else "refused_unanswerable"


def _facts(question: Question, text: str) -> dict[str, float]:
    if not question.facts:
        return {}
    found = facts_in(text, question.facts)
    return {"facts": float(found == len(question.facts)), "fact_recall": found / len(question.facts)}


def _wording(question: Question, text: str) -> dict[str, float]:
    return {"token_f1": token_f1(strip_markers(text), question.reference)} if question.reference else {}


def _style(text: str, profile: StyleProfile) -> dict[str, float]:
    if not text.strip():
        return {}
    score = profile.score(text)
    traits = {f"style_{trait}": value for trait in TRAITS if (value := getattr(score, trait)) is not None}
    return {"style": score.overall, **traits}


def _markers(trial: Trial, citations: Sequence[Citation]) -> dict[str, float]:
    if not trial.passages:
        return {}
    own = [citation.supported for citation in citations if citation.origin == "model"]
    return {"marked": 1.0, "marker_precision": fmean(own)} if own else {"marked": 0.0}


def _cites_right(trial: Trial, found: Sequence[Citation]) -> bool:
    """A supported citation of a document that answers; of any passage if no document is named."""
    wanted = trial.question.documents
    return any(one.supported and (not wanted or one.passage.chunk.filename in wanted) for one in found)


def _longest_repeat(trial: Trial, text: str, trained: TrainedText) -> int:
    shown = [passage.chunk.text for passage in trial.passages]
    return trained.longest_repeat(trial.question.question, text, [*shown, trial.question.reference])


def _count(values: Iterable[float]) -> Share:
    counted = [float(value) for value in values]
    return Share(math.fsum(counted), len(counted))
