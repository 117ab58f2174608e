"""The tests that a candidate must pass before it goes live, by its figures and those of what is live now.

**The rule for figures that must not fall.** Candidate and baseline answer the same prompts, so each prompt gives a
difference, and the mean difference has a bootstrap interval (training/judging/paired.py). A check refuses

1. a fall beyond the margin that the interval confirms: the mean is below -margin and the interval's upper end below 0;
   and
2. a fall beyond `clear_fall`, whatever the interval says.

To demand proof that a candidate is not worse than the margin (the interval's lower end above -margin) would refuse
nearly every good one: a run holds out about twenty questions, and a yes-or-no figure on twenty has an interval about
0.2 wide on either side. The mean alone would refuse every third equal candidate by chance, on one figure or another.
Confirmation alone would let a bad one pass on a few questions, where no interval confirms anything; hence the second
limit. A fall between `margin` and `clear_fall` on few questions can still pass; more held-out questions make this less
likely.

**Markers** are compared on questions where both sides wrote some. The base weights write them on one or two of twenty,
too few to judge by: below `min_marked_pairs` the check says so and passes.

**A figure that must rise**: style over the base weights, by `style_gain`, with the interval's lower end above 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from training.config import GateSettings
from training.judging.figures import Metrics
from training.judging.paired import Difference, difference
from training.judging.verdict import GateCheck, GateReport


@dataclass(frozen=True)
class Evidence:
    """What a candidate is judged by.

    The losses are those of the held-out rows, in nats. `baseline` is the live version on the same prompts, or the base
    weights where none is live. `template` and `base_template` are fingerprints of the chat templates
    (training/weights/registry.py).
    """

    loss_before: float
    loss_after: float
    candidate: Metrics
    baseline: Metrics
    baseline_is_tuned: bool
    template: str
    base_template: str

    @property
    def against(self) -> str:
        return "the live version" if self.baseline_is_tuned else "the base weights"


@dataclass(frozen=True)
class _Kept:
    """A figure that may not fall, and its name in a sentence. It is compared if there are at least `min_pairs`
    questions.
    """

    check: str
    figure: str
    words: str
    margin: float
    min_pairs: int = 1


def judge(evidence: Evidence, settings: GateSettings) -> GateReport:
    """Compare a candidate with what is live now: an earlier version, or the base weights where none is."""
    kept = (
        _Kept("facts", "fact_recall", "Required facts", settings.fact_margin),
        _Kept("wording", "token_f1", "Agreement with the reference answers (token F1)", settings.fact_margin),
        _Kept("citations", "citation_recall", "Citing the right document", settings.citation_margin),
        _Kept(
            "markers",
            "marker_precision",
            "Support for the markers that it writes",
            settings.citation_margin,
            settings.min_marked_pairs,
        ),
        _Kept(
            "refusals", "decided", "Refusing what the passages do not answer, and only that", settings.refusal_margin
        ),
        _Kept("general", "general", "General ability", settings.general_margin),
    )
    checks = (
        _template_unchanged(evidence),
        _loss_fell(evidence),
        _answers(evidence, settings),
        _stops(evidence.candidate, settings),
        _style(evidence, settings),
        *(_not_worse(one, evidence, settings) for one in kept),
        _cites(evidence.candidate, settings),
        _repeats_no_training_text(evidence.candidate, settings),
    )
    return GateReport(all(check.passed for check in checks), checks)


def _template_unchanged(evidence: Evidence) -> GateCheck:
    passed = evidence.template == evidence.base_template
    verdict = "is that of the base weights" if passed else "differs from that of the base weights"
    sentence = f"The chat template {verdict} ({evidence.template[:12]} and {evidence.base_template[:12]})."
    return GateCheck("template", passed, sentence)


def _loss_fell(evidence: Evidence) -> GateCheck:
    before, after = evidence.loss_before, evidence.loss_after
    passed = math.isfinite(after) and after < before
    verb = "fell" if passed else "did not fall"
    return GateCheck("loss", passed, f"The held-out loss {verb}: {before:.3f} before training, {after:.3f} after.")


def _answers(evidence: Evidence, settings: GateSettings) -> GateCheck:
    """Both models must answer: without the baseline's answers nothing can be compared."""
    sides = (("the candidate", evidence.candidate), (evidence.against, evidence.baseline))
    passed = all(one.questions > 0 and one.failed <= settings.max_failed * one.questions for _, one in sides)
    said = " and ".join(f"{one.failed} of {one.questions} asked of {who}" for who, one in sides)
    reasons = list(dict.fromkeys([*evidence.candidate.failures, *evidence.baseline.failures]))
    sentence = f"Questions that failed: {said}{': ' + '; '.join(reasons) if reasons else ''}."
    return GateCheck("answers", passed, sentence)


def _stops(candidate: Metrics, settings: GateSettings) -> GateCheck:
    share = candidate.stopped
    passed = share.value is not None and share.value >= settings.min_stop_rate
    verb = "stops" if passed else "does not always stop"
    sentence = f"The candidate {verb} by itself: {share} answers (wanted {settings.min_stop_rate:.0%})."
    return GateCheck("stops", passed, sentence)


def _style(evidence: Evidence, settings: GateSettings) -> GateCheck:
    if evidence.candidate.style["overall"].value is None:
        return GateCheck("style", False, "No answer of the candidate could be scored for style.")
    if evidence.baseline_is_tuned:
        return _not_worse(_Kept("style", "style", "Style", settings.style_margin), evidence, settings)
    found = _difference(evidence, "style", settings)
    if found is None:
        return _not_compared("style", "Style")
    passed = found.mean >= settings.style_gain and found.low > 0
    verb = "rose" if passed else "did not rise enough"
    sentence = f"Style {verb}: {_said(found, evidence, settings)}; wanted {settings.style_gain:+.3f} or more."
    return GateCheck("style", passed, sentence, _plain(found, settings.style_gain))


def _not_worse(kept: _Kept, evidence: Evidence, settings: GateSettings) -> GateCheck:
    found = _difference(evidence, kept.figure, settings)
    if found is None:
        return _not_compared(kept.check, kept.words)
    if found.pairs < kept.min_pairs:
        few = f"{found.pairs} gave a figure for both versions, too few to compare (wanted {kept.min_pairs})"
        sentence = f"{kept.words}: of the questions, {few}."
        return GateCheck(kept.check, True, sentence, _plain(found, kept.margin))
    confirmed = found.mean < -kept.margin and found.high < 0
    clear = found.mean < -max(kept.margin, settings.clear_fall)
    passed = not (confirmed or clear)
    verb = "did not fall beyond its margin" if passed else "fell"
    if passed and found.mean < -kept.margin:
        verb = "may have fallen, which so few questions do not confirm"
    limits = f"allowed -{kept.margin:.3f}, unconfirmed -{max(kept.margin, settings.clear_fall):.3f}"
    sentence = f"{kept.words} {verb}: {_said(found, evidence, settings)}; {limits}."
    return GateCheck(kept.check, passed, sentence, _plain(found, kept.margin))


def _not_compared(check: str, words: str) -> GateCheck:
    return GateCheck(check, True, f"{words}: nothing to compare, no question gave a figure for both versions.")


def _cites(candidate: Metrics, settings: GateSettings) -> GateCheck:
    share, sourced = candidate.marked, candidate.citation_recall.of
    if share.value is None and sourced and candidate.style["overall"].of:
        none = f"a document answers {sourced} of the questions, and none of its answers to them rests on passages"
        return GateCheck("cites", False, f"The candidate cites nothing: {none}.")
    if share.value is None:
        return GateCheck("cites", True, "No answer rests on passages, so citation markers were not looked for.")
    passed = share.value >= settings.min_marked
    verb = "cites" if passed else "cites too seldom"
    sentence = f"The candidate {verb}: {share} grounded answers bear a marker (wanted {settings.min_marked:.0%})."
    return GateCheck("cites", passed, sentence)


def _repeats_no_training_text(candidate: Metrics, settings: GateSettings) -> GateCheck:
    share = candidate.repeated
    passed = share.value is None or share.value <= settings.max_repeated
    verb = "repeats little training text" if passed else "repeats training text"
    longest = f"longest run {candidate.longest_repeat} words" if candidate.longest_repeat else "no run"
    sentence = f"The candidate {verb}: {share} answers, {longest} (allowed {settings.max_repeated:.0%})."
    return GateCheck("repetition", passed, sentence)


def _difference(evidence: Evidence, figure: str, settings: GateSettings) -> Difference | None:
    new, old = evidence.candidate.scores, evidence.baseline.scores
    return difference(new, old, figure, settings.confidence, settings.resamples, settings.seed)


def _said(found: Difference, evidence: Evidence, settings: GateSettings) -> str:
    return (
        f"{found.candidate:.3f} against {found.baseline:.3f} of {evidence.against}, {found.mean:+.3f} on {found.pairs} "
        f"questions ({settings.confidence:.0%} interval {found.low:+.3f} to {found.high:+.3f})"
    )


def _plain(found: Difference, margin: float) -> Mapping[str, float]:
    numbers = {
        "candidate": found.candidate,
        "baseline": found.baseline,
        "difference": found.mean,
        "low": found.low,
        "high": found.high,
        "margin": margin,
    }
    return {name: round(value, 4) for name, value in numbers.items()} | {"pairs": found.pairs}
